//! The guard: stops this host's workers when the host has been out of contact for so long that somebody else may be
//! about to get their work. Same binary, one per host, its own session or service; it needs no database.
//!
//! Launchers leave a note beside the guard's lock after each good contact: when it was *sent*, by the boot-time clock,
//! and how long each of their attempts may stay without contact (`core::watch::guard`). The guard holds the lock and
//! keeps a note of its own, so that launchers can report the host as guarded.
//!
//! Guarantees: only containers of our instance are touched, by name, and only after the silence that the rule allows;
//! notes of an earlier boot count for nothing. Deliberately absent: removing containers, and judging their attempts.

mod beacon;
mod notes;
mod role;

pub(crate) use beacon::Beacon;
pub(crate) use notes::WatchedAttempt;
pub use role::{Args, Error, run};
