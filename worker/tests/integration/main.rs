//! The worker as its launcher sees it: staged files in, an outcome out.

mod faults;
mod staged;
