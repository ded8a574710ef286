//! What placement decides on, read from the rows: the scheduler plans on it, `explain` tells people of it.
//!
//! Deliberately absent: the decision, which is `core::placement`, and writing it down.

mod explain;
mod quota;
mod snapshot;

pub use explain::{Explained, PlaceAhead, Standing, explain};
pub use snapshot::{Snapshot, read};
