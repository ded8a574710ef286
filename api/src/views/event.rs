//! Live events.

use cyberbrain_common::db::events::Event;
use cyberbrain_core::ids::{RunId, RunJobId};
use serde::Serialize;
use utoipa::ToSchema;

use super::run_job::AuditView;

/// A row of the audit trail, with what it speaks of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EventView {
    run_id: Option<RunId>,
    run_job_id: Option<RunJobId>,
    #[serde(flatten)]
    row: AuditView,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self { run_id: event.run, run_job_id: event.run_job, row: event.record.clone().into() }
    }
}
