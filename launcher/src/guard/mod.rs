//! The guard: stops this host's workers when the host has been out of contact for so long that somebody else may be
//! about to get their work. Same binary, one per host, its own session or service; it needs no database.
//!
//! ```text
//! <data-dir>/guard/guard.lock               held by the living guard; contains its pid
//! <data-dir>/guard/guard.json               the guard's sign of life: it saw the engine answer
//! <data-dir>/guard/contact-<launcher>.json  a launcher's last good contact, and what its attempts may do without one
//! ```
//! A host is in contact as long as one launcher of its instance is. A launcher leaves one record each, because each
//! knows the limits of its own attempts only.
//!
//! Guarantees: only running workers of an instance that has been in contact since this boot are stopped, by name, and
//! not before the silence that [`cyberbrain_core::watch::guard`] demands; what is stopped late gets less grace, so that
//! it is gone before its work is given away. Records of another boot or another engine count for nothing.
//! Deliberately absent: removing containers (their exit is still to be collected), and judging attempts.

mod beacon;
mod contact;
mod lock;
mod record;
mod role;
mod rule;
mod stops;
mod watchman;

pub(crate) use beacon::Beacon;
pub use contact::{Contact, EngineOnBoot, presence};
pub use record::WatchedAttempt;
pub use role::{Args, Error, run};
