//! What every role shares: the database, the queue, telemetry and configuration.
//!
//! Knows no container engine and serves no product routes.

pub mod approve;
pub mod boot_clock;
pub mod bulk;
pub mod byte_range;
pub mod cancel;
pub mod config;
pub mod db;
pub mod file_root;
pub mod file_token;
pub mod ids;
pub mod keys;
pub mod launch;
pub mod library;
pub mod machines;
pub mod metric;
pub mod pausing;
pub mod placing;
pub mod postgres;
pub mod queue;
pub mod ready;
pub mod reason;
pub mod sessions;
pub mod shutdown;
pub mod stall;
pub mod telemetry;
pub mod wake;
pub mod worker_log;
pub mod worker_token;
