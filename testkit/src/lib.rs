//! What the tests of every crate share. Dev only.
//!
//! - [`TestDb`]: a migrated PostgreSQL database for one test;
//! - [`require`]: what a test can't do without, and the skip that is said and counted;
//! - [`environment`]: Python packages for a test that speaks as a client of another make;
//! - [`wait_until`], [`wait_for`]: conditions instead of sleeps;
//! - [`chaos::Proxy`]: a network to cut, delay and swallow;
//! - [`seeded_rng`]: random tests that can be repeated.

pub mod chaos;
mod database;
mod need;
mod python;
mod seed;
mod server;
mod wait;

pub use database::TestDb;
pub use need::{Need, got, require};
pub use python::environment;
pub use seed::seeded_rng;
pub use wait::{wait_for, wait_until};
