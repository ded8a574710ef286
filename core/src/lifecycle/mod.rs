//! The life of a RunJob and its attempts: states, events and the one function that moves them.
//!
//! ```text
//!                 offer            accept          begin            started          stop
//! (RunJob pending) ───▶ offered ─────▶ accepted ─────▶ starting ─────▶ running ─────▶ stopping
//!        ▲                │ withdraw      │  │            │  │            │  │            │
//!        │                ▼               │  └──finish────┴──┼──finish────┴──┼──finish────┴─▶ done
//!        └── retry ◀──── lost ◀───────────┴──────lose────────┴──────lose─────┘
//! ```
//! offer, withdraw, lose: the scheduler. accept, begin, started, stop, finish: the owner of the attempt's
//! fence. The attempt's state is the truth and the RunJob's status follows from it, here and nowhere else.
//! Guarantees: a stale fence changes nothing; a terminal RunJob never changes again; every change names the
//! audit operation it is recorded under. Deliberately absent: time-outs and silence (`deadline`, `watch`).

mod deadline;
mod failure;
mod next;
mod retry;
mod run;
mod state;
#[cfg(test)]
mod tests;

pub use deadline::{attempt_deadline, queue_deadline};
pub use failure::{FailureClass, FailureKind};
pub use next::next;
pub use retry::{Retry, Spent, decide as decide_retry};
pub use run::{RunProgress, run_status};
pub use state::{
    AttemptChange, AttemptState, AttemptView, CancelState, Change, Event, Outcome, Refusal, RunJobStatus,
    RunJobView, RunStatus, Snapshot, StopReason, Verdict,
};
