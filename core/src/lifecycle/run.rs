//! The status of a Run, from the statuses of its RunJobs.

use super::state::{RunJobStatus, RunStatus};

/// How many RunJobs of a Run are in which status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunProgress {
    pub open: u64,
    pub success: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl FromIterator<RunJobStatus> for RunProgress {
    fn from_iter<I: IntoIterator<Item = RunJobStatus>>(statuses: I) -> Self {
        let mut progress = Self::default();
        for status in statuses {
            match status {
                RunJobStatus::Pending | RunJobStatus::Assigned | RunJobStatus::Running => progress.open += 1,
                RunJobStatus::Success => progress.success += 1,
                RunJobStatus::Failed => progress.failed += 1,
                RunJobStatus::Cancelled => progress.cancelled += 1,
            }
        }
        progress
    }
}

/// The terminal status, or `None` while a RunJob is open: `failed` if one failed, else `cancelled` if one was,
/// else `success`.
#[must_use]
pub const fn run_status(progress: RunProgress) -> Option<RunStatus> {
    if progress.open > 0 {
        None
    } else if progress.failed > 0 {
        Some(RunStatus::Failed)
    } else if progress.cancelled > 0 {
        Some(RunStatus::Cancelled)
    } else {
        Some(RunStatus::Success)
    }
}
