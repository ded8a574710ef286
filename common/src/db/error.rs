//! What can go wrong between us and the database.

use cyberbrain_core::lifecycle::Refusal;

use crate::queue;

/// A failed database call, sorted by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lifecycle says no; nothing was written.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The row is not there.
    #[error("there is no {what} {id}")]
    NotFound { what: &'static str, id: String },
    /// A constraint said no; nothing was written.
    #[error("the database refused it: constraint {constraint}")]
    Constraint {
        constraint: String,
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer in time, or the connection broke: the outcome is unknown.
    #[error("the database can't be reached")]
    Unreachable(#[source] sqlx::Error),
    /// A stored value is not of the form that this release writes.
    #[error("a stored {what} can't be read")]
    Malformed {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A push to the queue, or its set-up, failed.
    #[error("the queue can't be written or set up")]
    Queue(#[from] queue::Error),
    /// The schema can't be brought up to date.
    #[error("the migrations failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Anything else that the database says.
    #[error("a database query failed")]
    Sql(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => {
                // 40001, 40P01: a retry can succeed; 57P0x: the server is going away; 25006: a read-only standby.
                match (db.constraint(), db.code().as_deref()) {
                    (Some(constraint), _) => {
                        Self::Constraint { constraint: constraint.to_owned(), source: error }
                    }
                    (None, Some("57P01" | "57P02" | "57P03" | "25006" | "53300")) => Self::Unreachable(error),
                    (None, _) => Self::Sql(error),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Unreachable(error),
            _ => Self::Sql(error),
        }
    }
}

impl Error {
    /// The SQLSTATE that the database gave, if it answered at all.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Constraint { source, .. } | Self::Unreachable(source) | Self::Sql(source) => {
                Some(source.as_database_error()?.code()?.into_owned())
            }
            Self::Refused(_)
            | Self::NotFound { .. }
            | Self::Malformed { .. }
            | Self::Queue(_)
            | Self::Migrate(_) => None,
        }
    }

    /// The violated constraint, if that is what happened.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { constraint, .. } => Some(constraint),
            Self::Refused(_)
            | Self::NotFound { .. }
            | Self::Unreachable(_)
            | Self::Malformed { .. }
            | Self::Queue(_)
            | Self::Migrate(_)
            | Self::Sql(_) => None,
        }
    }

    /// The refusal, if that is what happened.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(*refusal),
            Self::Constraint { .. }
            | Self::NotFound { .. }
            | Self::Unreachable(_)
            | Self::Malformed { .. }
            | Self::Queue(_)
            | Self::Migrate(_)
            | Self::Sql(_) => None,
        }
    }
}
