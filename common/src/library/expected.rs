//! For which version of a thing a change was made.

use super::Error;

/// The versions that a change was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// One of these; of none if the list is empty.
    OneOf(Vec<u32>),
}

impl Expected {
    /// To be called under the lock of the row.
    ///
    /// # Errors
    /// [`Error::Stale`] if the change was made for another version.
    pub(super) fn check(&self, current: u32) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(versions) if versions.contains(&current) => Ok(()),
            Self::OneOf(_) => Err(Error::Stale { current }),
        }
    }
}
