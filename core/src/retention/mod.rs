//! Which files are removed, and why.
//!
//! A [`Sweep`] is shown files oldest first, page by page. It takes what is too old, and beyond that the oldest until the
//! rest fits. Guarantees: a file that something live needs is never taken, whatever its age and size, and neither is a
//! younger file while an older one that may go is left. Deliberately absent: the clock, the rows, the disk.

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{lifecycle::RunStatus, text_enum};

/// What may be kept. Without a bound, everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// A file that was stored longer ago is removed.
    pub max_age: Option<TimeDelta>,
    /// Bytes of all files together.
    pub max_bytes: Option<u64>,
}

/// Whether a file may go at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Something that has not ended left it or needs it.
    Live,
    Over,
}

impl From<RunStatus> for Need {
    fn from(run: RunStatus) -> Self {
        if run.is_terminal() { Self::Over } else { Self::Live }
    }
}

/// A file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldFile<Id> {
    pub id: Id,
    pub bytes: u64,
    /// From when on its age is counted.
    pub since: DateTime<Utc>,
    pub need: Need,
}

text_enum! {
    /// Why a file is removed.
    Cause("cause of a removal") {
        /// It is older than what is kept.
        Age = "age",
        /// There is more than may be, and this is the oldest that may go.
        Bytes = "bytes",
    }
}

/// A file to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal<Id> {
    pub id: Id,
    pub cause: Cause,
}

/// Whether younger files have to be looked at too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    LookOn,
    /// All younger ones stay.
    Done,
}

/// One look through files.
#[derive(Debug, Clone)]
pub struct Sweep {
    policy: Policy,
    now: DateTime<Utc>,
    /// What stays, in bytes, as far as decided.
    left_bytes: u64,
}

impl Sweep {
    /// `held_bytes` is the size of all files, live ones included.
    #[must_use]
    pub const fn new(policy: Policy, now: DateTime<Utc>, held_bytes: u64) -> Self {
        Self { policy, now, left_bytes: held_bytes }
    }

    /// Decides about the next files, oldest first.
    pub fn page<Id: Copy>(&mut self, oldest_first: &[HeldFile<Id>]) -> (Vec<Removal<Id>>, Next) {
        let mut removals = Vec::new();
        for file in oldest_first {
            let Some(cause) = self.cause(file) else { return (removals, Next::Done) };
            match file.need {
                Need::Live => {}
                Need::Over => {
                    self.left_bytes = self.left_bytes.saturating_sub(file.bytes);
                    removals.push(Removal { id: file.id, cause });
                }
            }
        }
        (removals, Next::LookOn)
    }

    /// Why it would go if nothing needed it; `None` if it may stay, and then all younger ones may.
    fn cause<Id>(&self, file: &HeldFile<Id>) -> Option<Cause> {
        if self.policy.max_age.is_some_and(|age| self.now.signed_duration_since(file.since) > age) {
            Some(Cause::Age)
        } else if self.policy.max_bytes.is_some_and(|most| self.left_bytes > most) {
            Some(Cause::Bytes)
        } else {
            None
        }
    }
}
