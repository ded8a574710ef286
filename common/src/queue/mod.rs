//! The durable hand-off between processes: everything this system does with apalis.
//!
//! **What it is.** A task says "look at this id". It is written inside the caller's transaction ([`push`]),
//! so it exists exactly when the rows it speaks of exist, and a [`Consumer`] in another process takes it
//! within milliseconds.
//!
//! **What it guarantees.** A committed task reaches its handler at least once while a consumer of its queue
//! is alive, whatever restarts in between; no payload, handler or lost connection stops a queue. A handler
//! that panics or overruns its time ends that task (status `Failed`), a payload that can't be read is set
//! aside (`Killed`); neither is tried again.
//!
//! **What it deliberately does not do.** It keeps no truth and no order, never retries by itself, and no task
//! lives longer than its handler's milliseconds: apalis 1.0 stops its heartbeat while tasks sit in its
//! buffer or drain, ignores back-off, and drops in-flight handlers when a connection breaks. Truth,
//! deadlines and retries are in our own tables, and the scans over them are what nothing can slip through.
//!
//! apalis and apalis-postgres are used in this module and nowhere else.

mod arrivals;
mod consumer;
mod intake;
mod janitor;
mod push;
mod schema;
mod service;
mod stats;
mod store;
mod task;

pub use arrivals::arrivals;
pub use consumer::Consumer;
pub use janitor::{Retention, Swept, dismiss, janitor};
pub use push::push;
pub use schema::setup;
pub use stats::{QueueStats, stats};
pub use task::{LaunchTask, PlaceTask, Queue, QueueKind, RunTask, Task, Undecodable};

/// Why a queue operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task could not be turned into JSON.
    #[error("a task for queue {queue} can't be encoded")]
    Encode {
        /// Where it was going.
        queue: Queue,
        /// What the encoder said.
        #[source]
        source: serde_json::Error,
    },
    /// The insert failed; the caller's transaction is aborted.
    #[error("{count} tasks can't be written to queue {queue}")]
    Push {
        /// Where they were going.
        queue: Queue,
        /// How many were in the statement that failed.
        count: usize,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The queue's own schema could not be created or brought up to date.
    #[error(
        "the schema of the queue can't be brought up to date; the migrating role needs CREATE on the database and PostgreSQL's contrib extensions hstore and pgcrypto"
    )]
    Setup(#[source] sqlx::Error),
    /// A janitor's step failed; the steps before it are done.
    #[error("queue upkeep failed while {step}")]
    Upkeep {
        /// What it was doing.
        step: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The statistics could not be read.
    #[error("the statistics of the queues can't be read")]
    Stats(#[source] sqlx::Error),
}

/// The database error inside one of apalis', so that callers can ask it for its SQLSTATE.
fn database_error(error: apalis_postgres::Error) -> sqlx::Error {
    match error {
        apalis_postgres::Error::Database(source) => source,
        other => sqlx::Error::Configuration(Box::new(other)),
    }
}
