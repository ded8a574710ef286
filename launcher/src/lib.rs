//! The host agent: what runs workers on one machine.

pub mod gpu;
pub mod image;
pub mod runtime;
