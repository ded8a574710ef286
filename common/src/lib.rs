//! What every role shares: the database, the queue, telemetry and configuration.
//!
//! Knows no container engine and serves no product routes.

pub mod boot_clock;
pub mod cancel;
pub mod config;
pub mod db;
pub mod ids;
pub mod keys;
pub mod launch;
pub mod metric;
pub mod postgres;
pub mod queue;
pub mod ready;
pub mod shutdown;
pub mod telemetry;
pub mod wake;
