//! The executable as users run it: one installation per test, in directories and on ports of its own.

mod api;
pub mod docker;
mod installation;
pub mod kept;

pub use api::Api;
pub use installation::{Installation, binary, lives, signal};
