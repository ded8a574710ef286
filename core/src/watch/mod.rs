//! Who is alive: silence is counted, not subtracted.
//!
//! A `Watch` is fed with successful reads of contact counters, each with an instant of the reader's own boot-time
//! clock, and adds up how long each counter stood still between reads that were close together. It never
//! compares timestamps of two machines, so no clock jump makes anybody look dead. Guarantees: a key is never said
//! to be silent for longer than the reader has really watched it stand still; time without a readable
//! database counts for nobody; a new reader starts at zero.
//!
//! Deliberately absent: what to do about silence (`reconcile`, the scheduler), and the clock itself.
//! `guard` and `leader` are the two other places where silence decides.

pub mod guard;
pub mod leader;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::text_enum;

/// Longest time between two reads that counts; after a longer one, nobody knows what happened in between.
pub const MAX_GAP: Duration = Duration::from_secs(5);

/// Silence after which a launcher's attempts are offered to its siblings, and its host gets nothing new.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);

/// Hosts that fall silent within this time of each other probably share a cause.
pub const MASS_PERIOD: Duration = Duration::from_secs(15);

text_enum! {
    /// What silence says about a host or a launcher.
    Presence("presence") {
        Live = "live",
        Silent = "silent",
        /// Silent for so long that its work may be replaced.
        Lost = "lost",
    }
}

/// Whether lost hosts' work may be given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reassignment {
    Allowed,
    /// More than half fell silent together: more likely a network or a database than that many hosts. It ends when
    /// enough of them are back or forgotten.
    Paused {
        /// How many fell silent together.
        silent: usize,
        /// How many were in contact before.
        of: usize,
    },
}

/// Counts how long counters stand still.
#[derive(Debug, Clone)]
pub struct Watch<K> {
    last_read_ms: Option<u64>,
    seen: BTreeMap<K, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    counter: i64,
    still_ms: u64,
}

impl<K> Default for Watch<K> {
    fn default() -> Self {
        Self { last_read_ms: None, seen: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Watch<K> {
    /// Feeds one successful read. `instant_ms` is the boot-time clock of this process just BEFORE the read was
    /// sent; a failed or timed-out read is not fed at all. Keys that are not in it are dropped.
    pub fn read(&mut self, instant_ms: u64, counters: &[(K, i64)]) {
        let counted_ms = match self.last_read_ms {
            Some(last) => instant_ms
                .checked_sub(last)
                .filter(|gap| u128::from(*gap) <= MAX_GAP.as_millis())
                .unwrap_or(0),
            None => 0,
        };
        // A clock that goes backwards counts for nothing, and what it repeats doesn't either.
        self.last_read_ms = Some(self.last_read_ms.map_or(instant_ms, |last| last.max(instant_ms)));
        let before = std::mem::take(&mut self.seen);
        self.seen = counters
            .iter()
            .map(|(key, counter)| {
                let still_ms = match before.get(key) {
                    Some(seen) if seen.counter == *counter => seen.still_ms + counted_ms,
                    Some(_) | None => 0,
                };
                (key.clone(), Seen { counter: *counter, still_ms })
            })
            .collect();
    }

    /// How long this counter has been seen standing still; zero for an unknown key.
    #[must_use]
    pub fn silence(&self, key: &K) -> Duration {
        Duration::from_millis(self.seen.get(key).map_or(0, |seen| seen.still_ms))
    }

    /// What its silence says. An unknown key counts as live: nothing may be done because of it.
    #[must_use]
    pub fn presence(&self, key: &K, lost_after: Duration) -> Presence {
        let silence = self.silence(key);
        if silence < SILENT_AFTER {
            Presence::Live
        } else if silence < lost_after {
            Presence::Silent
        } else {
            Presence::Lost
        }
    }

    /// Whether too many fell silent together. Keys in `given_up` (hosts that were lost before) count for nothing;
    /// without them a new reader would take hosts that died long ago for a mass silence.
    #[must_use]
    pub fn reassignment(&self, given_up: &BTreeSet<K>) -> Reassignment {
        let mut silences: Vec<Duration> = self
            .seen
            .iter()
            .filter(|(key, _)| !given_up.contains(key))
            .map(|(_, seen)| Duration::from_millis(seen.still_ms))
            .collect();
        silences.sort_unstable();
        let first_silent = silences.partition_point(|silence| *silence < SILENT_AFTER);
        // For each moment at which one fell silent: who fell silent within the period before it, and who was
        // in contact when that period began.
        for (position, silence) in silences.iter().enumerate().skip(first_silent) {
            let of = silences.partition_point(|other| *other <= *silence + MASS_PERIOD);
            let silent = of - position;
            if silent * 2 > of {
                return Reassignment::Paused { silent, of };
            }
        }
        Reassignment::Allowed
    }
}
