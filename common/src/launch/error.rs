//! Why a launch did not happen.

use super::problem::Problem;
use crate::db;

/// A launch that made no Run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the launch request has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    /// Another call with the same idempotency key has been at work for longer than we wait.
    #[error("another request with the same idempotency key is still being worked on")]
    KeyBusy,
    /// What is to be retried has not ended.
    #[error("{what} {id} has not ended; cancel it, or ask again when it has")]
    NotEnded { what: &'static str, id: String },
    /// Everything that could be retried succeeded.
    #[error("nothing of it failed or was cancelled; clone the run to do all of it again")]
    NothingToRetry,
    /// It may not run again as it did: the reasons, at least one.
    #[error("it can't be repeated: {}", .0.join("; "))]
    NotRepeatable(Vec<String>),
    /// The database failed.
    #[error("the launch could not be stored")]
    Database(#[from] db::Error),
}

/// SQLSTATE of a lock that was not had within `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl Error {
    pub(super) fn from_key_lock(error: db::Error) -> Self {
        match error.sqlstate().as_deref() {
            Some(LOCK_NOT_AVAILABLE) => Self::KeyBusy,
            Some(_) | None => Self::Database(error),
        }
    }
}
