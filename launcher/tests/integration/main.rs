//! Integration tests of the host agent: real engine where there is one, real FFI, real processes.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod agent;
mod conformance;
mod docker;
mod docker_engine;
mod fake_engine;
mod files;
mod gateway;
mod gpu;
mod guard;
mod kept;
mod process_engine;
mod simulated_engine;
