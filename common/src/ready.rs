//! How a role tells whoever started it that it serves, and where.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

/// What a role announces once it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// `api`, `scheduler`, `launcher` or `guard`.
    pub role: String,
    pub pid: u32,
    /// Where it serves its product routes, if it does.
    pub url: Option<String>,
    /// Where Prometheus scrapes it.
    pub metrics_url: Option<String>,
}

impl Ready {
    /// This process, in this role.
    #[must_use]
    pub fn of(role: &str) -> Self {
        Self { role: role.to_owned(), pid: std::process::id(), url: None, metrics_url: None }
    }
}

/// Writes the announcement in one step, so that a reader sees all of it or nothing.
///
/// # Errors
/// When the file can't be written.
pub fn announce(path: Option<&Path>, ready: &Ready) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let partial = path.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec(ready)?)?;
    std::fs::rename(partial, path)
}

/// Reads an announcement; `None` while there is none.
///
/// # Errors
/// When the file is there but can't be read.
pub fn read(path: &Path) -> io::Result<Option<Ready>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
