//! The standby's rule: when to take over the leader row.
//!
//! The row holds (term, counter); the leader raises the counter every `BEAT`, and a standby reads it every
//! `READ_EVERY`. A claim is a compare-and-set of the row from what was seen to the next term, so of several
//! standbys one wins. Two leaders for a moment are harmless: the database's constraints, not the leadership,
//! keep decisions apart. With these figures a dead leader is replaced in less than 10 s.

use std::time::Duration;

use super::Watch;

/// How often the leader raises its counter.
pub const BEAT: Duration = Duration::from_secs(1);

/// How often a standby reads the row.
pub const READ_EVERY: Duration = Duration::from_secs(1);

/// Silence of the leader after which a standby claims the row.
pub const CLAIM_AFTER: Duration = Duration::from_secs(5);

/// The leader row as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderRow {
    /// Counts the leaders so far.
    pub term: i64,
    /// Raised by this term's leader.
    pub counter: i64,
}

/// What a standby does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidacy {
    /// Somebody leads; silent for this long.
    Follow { silence: Duration },
    /// Claim the row for `term`, if it still is exactly `instead_of` (or still is not there).
    Claim { term: i64, instead_of: Option<LeaderRow> },
}

/// Watches the leader row.
#[derive(Debug, Clone, Default)]
pub struct Standby {
    /// By term: a new leader starts with no silence.
    watch: Watch<i64>,
}

impl Standby {
    /// Feeds one successful read, with the instant of this process's boot-time clock just before it was sent.
    pub fn read(&mut self, instant_ms: u64, row: Option<LeaderRow>) -> Candidacy {
        let Some(row) = row else {
            self.watch.read(instant_ms, &[]);
            return Candidacy::Claim { term: 1, instead_of: None };
        };
        self.watch.read(instant_ms, &[(row.term, row.counter)]);
        let silence = self.watch.silence(&row.term);
        if silence >= CLAIM_AFTER {
            Candidacy::Claim { term: row.term + 1, instead_of: Some(row) }
        } else {
            Candidacy::Follow { silence }
        }
    }
}
