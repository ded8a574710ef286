//! The decisions of Cyberbrain Orchestrator: pure functions of data and `now`, with typed reasons.
//!
//! Nothing here reads a clock, a socket, a file or a random number; the crate depends on serde, uuid and
//! chrono only, so the compiler keeps it that way (the feature `schema` adds descriptions of the types for the
//! API's document, and nothing that acts). The shells read rows, call these functions, and write
//! what they decided.

mod text_enum;

pub use text_enum::UnknownName;
#[cfg(feature = "schema")]
#[doc(hidden)]
pub use utoipa;

pub mod audit;
pub mod grant;
pub mod ids;
pub mod job_kind;
pub mod lifecycle;
pub mod outcome;
pub mod placement;
pub mod reconcile;
pub mod report;
pub mod retention;
pub mod run;
pub mod spec;
pub mod staging;
pub mod watch;
