//! Placement: which waiting RunJob runs where, and why every other one waits.
//!
//! `place(&Problem, now) -> Plan` is a pure function of rows that the scheduler read. It guarantees that no
//! plan is over capacity (CPU, memory, attempts, VRAM by ledger and by what is seen on the card), that a
//! RunJob gets all its cards on one host or none, that the same problem gives the same plan, and that every
//! RunJob is placed, refused or belongs to a class with a waiting reason. What makes it hold under two
//! schedulers are the CHECKs of the database, not this module.
//!
//! Order: priority (a higher number goes first), then the submitter that holds least, then age. Deliberately
//! absent: preemption, gangs across hosts.
//!
//! Read in this order: `problem` (the model), `score`, `card` and `books` (what is left while a plan grows), `select`
//! (the choice), `diagnose` and `reason` (why not), `never` (infeasible), `keep` (nobody starves), `order`,
//! `solve`, `explain`, `estimate`.

mod ask;
mod books;
mod card;
mod diagnose;
mod estimate;
mod explain;
mod keep;
mod never;
mod order;
mod plan;
mod problem;
mod reason;
mod score;
mod select;
mod shape;
mod solve;

#[cfg(test)]
mod tests;

pub use estimate::{Holding, free_in_ms, turn_in_ms};
pub use explain::{Candidate, Explanation, explain};
pub use plan::{
    ClassWaiting, FallbackKind, Grant, Missed, PickedCard, Placement, Plan, RefusedRunJob, Selection,
    SelectionKind,
};
pub use problem::{
    Class, Cordon, Gpu, GpuHealth, Head, Host, Options, Placeability, Problem, Request, Safety, Strategy,
    Telemetry,
};
pub use reason::{Infeasible, Obstacle, Place, WaitingCode, WaitingReason};
pub use score::{effective_free_mib, seed_score};
pub use solve::place;
