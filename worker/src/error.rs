//! Why a job ended without a result, and the exit code that says so.

use std::{io, path::PathBuf};

use cyberbrain_core::outcome::Problem;

/// Why a job ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} can't be read; the launcher stages it before the worker starts", path.display())]
    Input {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} does not have the form that launchers stage; is the worker image older than the launcher?", path.display())]
    InputForm {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the parameters in {} can't be used", path.display())]
    Params {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the log index names {file:?}, which is no plain file name; nothing was read")]
    InputName { file: String },
    #[error("{} can't be written; is the output directory mounted and is there space?", path.display())]
    Output {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the outcome can't be written as JSON")]
    OutcomeForm(#[source] serde_json::Error),
    /// A defect of the job: it builds its result within the limits.
    #[error("the job made a result that breaks the limits of results")]
    ResultRefused(#[source] Problem),
    /// A defect of the job, likewise.
    #[error("the job made a result of {bytes} bytes, which is more than results may have")]
    ResultTooLarge { bytes: u64 },
    #[error("standard output can't be written")]
    Stdout(#[source] io::Error),
    #[error("the wait for SIGTERM can't be set up")]
    Wait(#[source] io::Error),
    /// SIGTERM, where the job waits for it.
    #[error("ended by SIGTERM")]
    Terminated,
    /// The self-test was told to fail.
    #[error("asked to exit with {code}")]
    AskedToExit { code: u8 },
    /// The self-test could do what a worker must not be able to do.
    #[error("{} could be written, although it is mounted read-only for workers", path.display())]
    NotRefused { path: PathBuf },
    #[error("{} could not be made for the self-test", path.display())]
    SelfTest {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the process should end with: 143 after SIGTERM, what was asked for in a self-test, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Terminated => 143,
            Self::AskedToExit { code } => *code,
            Self::Input { .. }
            | Self::InputForm { .. }
            | Self::Params { .. }
            | Self::InputName { .. }
            | Self::Output { .. }
            | Self::OutcomeForm(_)
            | Self::ResultRefused(_)
            | Self::ResultTooLarge { .. }
            | Self::Stdout(_)
            | Self::Wait(_)
            | Self::NotRefused { .. }
            | Self::SelfTest { .. } => 1,
        }
    }
}
