//! The shells of this crate against the real thing.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod data;
mod leash;
mod owner;
mod postgres;
mod queue;
mod transition;
mod wake;
