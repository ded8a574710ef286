//! The scheduler against a real PostgreSQL, with a launcher that has no containers.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod admission;
mod closing;
mod deadlines;
mod delivery;
mod history;
mod leadership;
mod machines;
mod maintenance;
mod placement;
mod reaper;
mod report_numbers;
mod role;
mod two_schedulers;
mod world;
