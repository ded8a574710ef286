//! Changes of the library, as REST and MCP make them: checked whole, stored with their audit row in one transaction,
//! and refused when they were made for another version than the one that is there.
//!
//! Guarantees: a refused change stores nothing and is told everything that is wrong with it; of several changes made for
//! the same version one happens. Deliberately absent: reading, which is `db::library`.

mod check;
pub mod containers;
pub mod directives;
mod error;
mod expected;
pub mod images;
pub mod jobs;

pub use error::{Conflict, Error};
pub use expected::Expected;
