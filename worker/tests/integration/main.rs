//! The worker as its launcher sees it: staged files in, an outcome out.

#![allow(clippy::unwrap_used, reason = "a test that can't set up its subject has failed")]

mod asked;
mod compared;
mod edges;
mod faults;
mod gpu_report;
mod mermaid;
mod numbers;
mod process;
mod service_map;
mod staged;
