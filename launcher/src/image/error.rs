//! Why an image can't be made.

use std::{io, path::PathBuf};

/// Why an image can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} can't be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Its header is cut short or contradicts itself.
    #[error("{} is no ELF executable that can be understood", path.display())]
    Elf { path: PathBuf },
    #[error("{}: its loader {} can't be run to list its libraries", path.display(), loader.display())]
    Loader {
        path: PathBuf,
        loader: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The loader took too long, failed or missed a library.
    #[error("{}: its libraries can't be listed: {why}", path.display())]
    Libraries { path: PathBuf, why: String },
    #[error("{} has changed while the image was being made", path.display())]
    Changed { path: PathBuf },
    #[error("{}: two different files want this place in the image", path.display())]
    Conflict { path: PathBuf },
    #[error("{} is no path for a file in an image: it must be absolute, without `..`", path.display())]
    Target { path: PathBuf },
    #[error("the image archive can't be written")]
    Write(#[from] io::Error),
    #[error("the image configuration can't be written")]
    Configuration(#[source] serde_json::Error),
    #[error("the work on the image was broken off")]
    Aborted(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether the reader of the archive went away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
