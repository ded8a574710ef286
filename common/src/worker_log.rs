//! Where the output of a worker lies below the logs root of its host: one file per owner of the attempt, its segments.
//!
//! An owner opens its segment after it has read those of its predecessors, and goes on after their last whole line: read
//! in the order of their fences, they are the output once.

use cyberbrain_core::ids::{AttemptId, Fence, RunId, RunJobId};

/// Directory of a Run, relative to the logs root.
#[must_use]
pub fn run_dir(run: RunId) -> String {
    format!("runs/{run}")
}

/// Directory of an attempt, relative to the logs root.
#[must_use]
pub fn attempt_dir(run: RunId, run_job: RunJobId, attempt: AttemptId) -> String {
    format!("{}/{run_job}/{attempt}", run_dir(run))
}

/// Name of the segment of the owner with this fence, in the directory of its attempt.
#[must_use]
pub fn segment_name(fence: Fence) -> String {
    format!("container-f{fence}.log")
}
