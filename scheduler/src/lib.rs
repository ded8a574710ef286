//! The scheduler role: who leads, which Runs start, where RunJobs run, who fell silent, and when a Run is closed.
//!
//! Any number of schedulers may run; one leads at a time, and nothing breaks when two act at once, because fences,
//! CHECKs and unique indexes decide. It holds nothing that it could not lose. Deliberately absent: decisions, which
//! are pure functions in `core`, and SQL, which is in `common::db`.
//!
//! Every loop is a [`Pass`]: one bounded, idempotent look at the tables, run when woken and on an interval. Tests call
//! `run_once`. Read in this order: `service` (who leads), `term` (what a leader does), then one folder per duty.

mod admit;
mod args;
mod close;
mod deadlines;
mod election;
mod error;
mod gauges;
mod maintenance;
mod moves;
mod options;
mod pass;
mod place;
mod reaper;
mod role;
mod service;
mod signal;
mod sweep;
mod term;

pub use admit::{Admission, AdmitScan, admit};
pub use args::Args;
pub use close::{CloseScan, Closing, close};
pub use deadlines::{DeadlineSummary, Deadlines};
pub use error::Error;
pub use gauges::Gauges;
pub use maintenance::{AuditUpkeep, InventoryRetention, LedgerCheck, QueueJanitor, SampleRetention};
pub use options::{Delivery, Options};
pub use pass::{Next, Pass};
pub use place::{Tick, TickSummary};
pub use reaper::{Reaper, ReaperSummary, StaleGpus};
pub use role::run;
pub use service::{Handle, Service, Standing};
pub use signal::Signal;
pub use term::Term;
