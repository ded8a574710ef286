//! Which files of a host are removed, and why.
//!
//! A [`Sweep`] is shown a host's files oldest first, page by page. It takes what is too old, and beyond that the oldest
//! until the rest fits. Guarantees: a file of a Run that has not ended is never taken, whatever its age and size, and
//! neither is a younger file while an older one that may go is left. Deliberately absent: the clock, the rows, the disk.

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{ids::ArtifactId, lifecycle::RunStatus, text_enum};

/// What may be kept. Without a bound, everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// A file that was stored longer ago is removed.
    pub max_age: Option<TimeDelta>,
    /// Bytes of all files of the host together.
    pub max_bytes: Option<u64>,
}

/// A file that a host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldFile {
    pub id: ArtifactId,
    pub bytes: u64,
    pub stored_at: DateTime<Utc>,
    /// Of the Run that left it.
    pub run: RunStatus,
}

text_enum! {
    /// Why a file is removed.
    Cause("cause of a removal") {
        /// It is older than what is kept.
        Age = "age",
        /// The host holds more than it may, and this is the oldest that may go.
        Bytes = "bytes",
    }
}

/// A file to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    pub id: ArtifactId,
    pub cause: Cause,
}

/// Whether younger files have to be looked at too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    LookOn,
    /// All younger ones stay.
    Done,
}

/// One look through the files of a host.
#[derive(Debug, Clone)]
pub struct Sweep {
    policy: Policy,
    now: DateTime<Utc>,
    /// What stays, in bytes, as far as decided.
    left_bytes: u64,
}

impl Sweep {
    /// `held_bytes` is the size of all files of the host, live ones included.
    #[must_use]
    pub const fn new(policy: Policy, now: DateTime<Utc>, held_bytes: u64) -> Self {
        Self { policy, now, left_bytes: held_bytes }
    }

    /// Decides about the next files, oldest first.
    pub fn page(&mut self, oldest_first: &[HeldFile]) -> (Vec<Removal>, Next) {
        let mut removals = Vec::new();
        for file in oldest_first {
            let Some(cause) = self.cause(file) else { return (removals, Next::Done) };
            if file.run.is_terminal() {
                self.left_bytes = self.left_bytes.saturating_sub(file.bytes);
                removals.push(Removal { id: file.id, cause });
            }
        }
        (removals, Next::LookOn)
    }

    /// Why it would go if its Run had ended; `None` if it may stay, and then all younger ones may.
    fn cause(&self, file: &HeldFile) -> Option<Cause> {
        if self.policy.max_age.is_some_and(|age| self.now.signed_duration_since(file.stored_at) > age) {
            Some(Cause::Age)
        } else if self.policy.max_bytes.is_some_and(|most| self.left_bytes > most) {
            Some(Cause::Bytes)
        } else {
            None
        }
    }
}
