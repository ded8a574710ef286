//! Everything that speaks SQL: functions over a connection, named for their intent.
//!
//! The caller that owns an invariant begins the transaction. Every query is checked against the schema when it
//! is compiled (`.sqlx`). Lock order: runs → run_jobs (by id) → hosts → gpus (by uuid).

mod column;
mod connect;
mod error;
mod sentence;
mod snapshot;

pub mod admission;
pub mod allowlist;
pub mod api_keys;
pub mod artifacts;
pub mod attempts;
pub mod audit;
pub mod audit_search;
pub mod audit_trail;
pub mod closing;
pub mod contact;
pub mod deadlines;
pub mod events;
pub mod gpu_history;
pub mod gpus;
pub mod holdings;
pub mod hosts;
pub mod idempotency;
pub mod instance;
pub mod inventory;
pub mod kept_files;
pub mod kept_uploads;
pub mod launchers;
pub mod leaders;
pub mod leftovers;
pub mod library;
pub mod llm_calls;
pub mod machines;
pub mod migrate;
pub mod offers;
pub mod origins;
pub mod overview;
pub mod pauses;
pub mod plan;
pub mod presence;
pub mod report_files;
pub mod retention;
pub mod run_jobs;
pub mod runs;
pub mod seed;
pub mod sessions;
pub mod staging;
pub mod supervision;
pub mod transition;
pub mod uploads;
pub mod usage;
pub mod waiting;
pub mod worker_logs;
pub mod workers;

pub use column::Col;
pub use connect::{PoolSize, connect, pool, pool_for_lists};
pub use error::Error;
pub use migrate::{migrate, pending_migrations};
pub use snapshot::begin_snapshot;

/// What the functions of this module run on.
pub type Conn = sqlx::PgConnection;
/// A pool of connections to our database.
pub type Pool = sqlx::PgPool;
