//! What ends the role. Failures of single passes don't: they are logged, counted and tried again.

use std::path::PathBuf;

use cyberbrain_common::{db, telemetry};

/// Why the scheduler could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database URL can't be used.
    #[error("the database URL can't be used; it has the form postgres://user:password@host/database")]
    Database(#[from] db::Error),
    /// Logs or metrics can't be set up.
    #[error("logs or metrics can't be set up")]
    Telemetry(#[from] telemetry::Error),
    /// The file that tells whoever started us can't be written.
    #[error("the ready file {path} can't be written")]
    Announce {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}
