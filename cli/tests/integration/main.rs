//! Tests of the whole: the executable as users run it, and the house rules that no compiler checks.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod crash;
mod custom;
mod demo;
mod deployment;
mod house;
mod mcp_client;
mod scale;
mod stages;
mod support;
mod up;
mod whole;
