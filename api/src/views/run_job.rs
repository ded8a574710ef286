//! RunJobs, their attempts and their audit trail.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{
    audit_trail::Record,
    run_jobs::{Attempt, RunJob},
    transition::PlaceKind,
};
use cyberbrain_core::{
    audit::Operation,
    ids::{AttemptId, RunId, RunJobId},
    lifecycle::{AttemptState, FailureKind, RunJobStatus, StopReason},
    outcome::Progress,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::run::TokensView;

/// Why it failed or was cancelled.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FailureView {
    pub kind: FailureKind,
    /// One sentence of ours.
    pub detail: Option<String>,
}

impl FailureView {
    fn new(kind: Option<FailureKind>, detail: Option<String>) -> Option<Self> {
        kind.map(|kind| Self { kind, detail })
    }
}

/// A RunJob in its Run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunJobView {
    pub id: RunJobId,
    /// Key of the job.
    pub job: String,
    pub name: String,
    pub status: RunJobStatus,
    pub host: Option<String>,
    /// UUIDs of the cards of the newest attempt.
    pub gpus: Vec<String>,
    pub selection_reason: Option<String>,
    /// Set while it waits.
    pub waiting_reason: Option<String>,
    pub attempts: i32,
    pub progress: Option<Progress>,
    pub failure: Option<FailureView>,
    pub tokens: TokensView,
}

impl RunJobView {
    pub(crate) fn waits(&self) -> Option<&str> {
        self.waiting_reason.as_deref()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.is_terminal()
    }
}

impl From<RunJob> for RunJobView {
    fn from(row: RunJob) -> Self {
        Self {
            id: row.id,
            job: row.task_key,
            name: row.name,
            status: row.status,
            host: row.host,
            gpus: row.gpus,
            selection_reason: row.selection_reason,
            waiting_reason: row.waiting_reason,
            attempts: row.attempts,
            progress: row.progress,
            failure: FailureView::new(row.failure, row.failure_detail),
            tokens: row.tokens.into(),
        }
    }
}

/// A RunJob by itself. The same fields as in its Run, except that `attempts` lists them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunJobDetail {
    id: RunJobId,
    run_id: RunId,
    job: String,
    name: String,
    status: RunJobStatus,
    host: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    waiting_reason: Option<String>,
    progress: Option<Progress>,
    failure: Option<FailureView>,
    tokens: TokensView,
    /// The newest ones, oldest first.
    attempts: Vec<AttemptView>,
    /// The newest ones, oldest first.
    audit: Vec<AuditView>,
}

impl RunJobDetail {
    pub(crate) fn new(row: RunJob, attempts: Vec<Attempt>, audit: Vec<Record>) -> Self {
        Self {
            id: row.id,
            run_id: row.run,
            job: row.task_key,
            name: row.name,
            status: row.status,
            host: row.host,
            gpus: row.gpus,
            selection_reason: row.selection_reason,
            waiting_reason: row.waiting_reason,
            progress: row.progress,
            failure: FailureView::new(row.failure, row.failure_detail),
            tokens: row.tokens.into(),
            attempts: attempts.into_iter().map(Into::into).collect(),
            audit: audit.into_iter().map(Into::into).collect(),
        }
    }
}

impl RunJobDetail {
    /// Why it is where it is, in a sentence.
    pub(crate) fn why(&self) -> String {
        let Self { id, status, .. } = self;
        if let Some(reason) = &self.waiting_reason {
            return format!("Run job {id} is {status} and waits: {reason}.");
        }
        if let Some(failure) = &self.failure {
            let detail = failure.detail.as_deref().unwrap_or("no more is known");
            return format!("Run job {id} is {status} ({}): {detail}.", failure.kind);
        }
        match (&self.host, &self.selection_reason) {
            (Some(host), Some(reason)) => format!("Run job {id} is {status} on {host}: {reason}."),
            (Some(host), None) => format!("Run job {id} is {status} on {host}."),
            (None, _) => format!("Run job {id} is {status}; the scheduler has not looked at it yet."),
        }
    }
}

/// One placement of a RunJob.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    id: AttemptId,
    number: i32,
    state: AttemptState,
    host: String,
    placement: PlaceKind,
    gpus: Vec<String>,
    selection_reason: String,
    container_id: Option<String>,
    image_id: Option<String>,
    stop_reason: Option<StopReason>,
    exit_code: Option<i32>,
    failure: Option<FailureView>,
    tokens: TokensView,
    offered_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    starting_at: Option<DateTime<Utc>>,
    running_at: Option<DateTime<Utc>>,
    stopping_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// When CPU, memory and GPUs were given back.
    released_at: Option<DateTime<Utc>>,
}

impl From<Attempt> for AttemptView {
    fn from(row: Attempt) -> Self {
        Self {
            id: row.id,
            number: row.number,
            state: row.state,
            host: row.host,
            placement: row.placement,
            gpus: row.gpus,
            selection_reason: row.selection_reason,
            container_id: row.container_id,
            image_id: row.image_id,
            stop_reason: row.stop_reason,
            exit_code: row.exit_code,
            failure: FailureView::new(row.failure, row.failure_detail),
            tokens: row.tokens.into(),
            offered_at: row.offered_at,
            accepted_at: row.accepted_at,
            starting_at: row.starting_at,
            running_at: row.running_at,
            stopping_at: row.stopping_at,
            ended_at: row.ended_at,
            released_at: row.released_at,
        }
    }
}

/// One row of the audit trail.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AuditView {
    id: Uuid,
    at: DateTime<Utc>,
    operation: Operation,
    actor: String,
    attempt_id: Option<AttemptId>,
    host: Option<String>,
    container_id: Option<String>,
    image: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    /// Names, limits and counts only.
    config_snapshot: Value,
    success: bool,
    error: Option<String>,
}

impl From<Record> for AuditView {
    fn from(row: Record) -> Self {
        Self {
            id: row.id,
            at: row.at,
            operation: row.operation,
            actor: row.actor,
            attempt_id: row.attempt,
            host: row.host,
            container_id: row.container_id,
            image: row.image,
            gpus: row.gpus,
            selection_reason: row.selection_reason,
            config_snapshot: row.config_snapshot,
            success: row.success,
            error: row.error,
        }
    }
}
