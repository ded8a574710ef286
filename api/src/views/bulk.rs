//! What became of many Runs.

use cyberbrain_common::bulk::{Done, Outcome};
use cyberbrain_core::{ids::RunId, text_enum};
use serde::Serialize;
use utoipa::ToSchema;

text_enum! {
    /// What became of a Run.
    BulkOutcome("outcome of a bulk action") {
        /// It is one of those; only that was asked.
        Matches = "matches",
        Cancelled = "cancelled",
        Retried = "retried",
        /// `detail` says why.
        Refused = "refused",
    }
}

/// One Run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkItem {
    id: RunId,
    outcome: BulkOutcome,
    /// The Run that does it again.
    retried_by: Option<RunId>,
    /// Why nothing was done.
    detail: Option<String>,
}

impl From<(RunId, Outcome)> for BulkItem {
    fn from((id, outcome): (RunId, Outcome)) -> Self {
        let (outcome, retried_by, detail) = match outcome {
            Outcome::Matches => (BulkOutcome::Matches, None, None),
            Outcome::Cancelled => (BulkOutcome::Cancelled, None, None),
            Outcome::Retried(run) => (BulkOutcome::Retried, Some(run), None),
            Outcome::Refused(why) => (BulkOutcome::Refused, None, Some(why)),
        };
        Self { id, outcome, retried_by, detail }
    }
}

/// All of them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkView {
    /// How many were looked at.
    matched: usize,
    /// For how many it was done.
    done: usize,
    /// Whether there are more such Runs: send the request again.
    more: bool,
    runs: Vec<BulkItem>,
}

impl From<Done> for BulkView {
    fn from(done: Done) -> Self {
        let runs: Vec<BulkItem> = done.items.into_iter().map(Into::into).collect();
        let worked = |item: &&BulkItem| match item.outcome {
            BulkOutcome::Cancelled | BulkOutcome::Retried => true,
            BulkOutcome::Matches | BulkOutcome::Refused => false,
        };
        Self { matched: runs.len(), done: runs.iter().filter(worked).count(), more: done.more, runs }
    }
}
