//! Runs and their artifacts.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{
    artifacts::{Artifact, ArtifactType},
    run_jobs::RunJob,
    runs::{Origin, OriginKind, Run, Success, Tokens},
};
use cyberbrain_core::{
    ids::{ArtifactId, RunId, RunJobId},
    lifecycle::RunStatus,
    spec::DirectiveType,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::RunJobView;

/// Token counts; never text.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct TokensView {
    pub prompt: i64,
    pub completion: i64,
    pub total: i64,
}

impl From<Tokens> for TokensView {
    fn from(tokens: Tokens) -> Self {
        let Tokens { prompt, completion } = tokens;
        Self { prompt, completion, total: prompt.saturating_add(completion) }
    }
}

/// A Run with its RunJobs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunView {
    pub id: RunId,
    pub status: RunStatus,
    /// Name of the directive as it was at launch; `custom` with a text of the client's.
    pub directive: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub tokens: TokensView,
    /// The run that this one repeats.
    pub origin: Option<OriginView>,
    pub run_jobs: Vec<RunJobView>,
}

/// The Run that another one repeats.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct OriginView {
    /// retry: of what had not succeeded; clone: of everything.
    kind: OriginKind,
    run: RunId,
}

impl From<Origin> for OriginView {
    fn from(Origin { kind, run }: Origin) -> Self {
        Self { kind, run }
    }
}

impl RunView {
    pub(crate) fn new(run: Run, run_jobs: Vec<RunJob>) -> Self {
        Self {
            id: run.id,
            status: run.status,
            directive: run.directive_name,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            tokens: run.tokens.into(),
            origin: run.origin.map(Into::into),
            run_jobs: run_jobs.into_iter().map(Into::into).collect(),
        }
    }
}

impl RunView {
    pub(crate) const fn id(&self) -> RunId {
        self.id
    }

    pub(crate) const fn status(&self) -> RunStatus {
        self.status
    }

    pub(crate) const fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// When its status changed last.
    pub(crate) fn changed_at(&self) -> DateTime<Utc> {
        self.finished_at.or(self.started_at).unwrap_or(self.created_at)
    }

    /// What its first waiting run job waits for.
    pub(crate) fn waits(&self) -> Option<&str> {
        self.run_jobs.iter().find_map(RunJobView::waits)
    }

    /// How many of its run jobs have ended, and how many there are.
    pub(crate) fn jobs_ended(&self) -> (usize, usize) {
        (self.run_jobs.iter().filter(|job| job.has_ended()).count(), self.run_jobs.len())
    }
}

/// A Run in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunSummary {
    pub id: RunId,
    pub status: RunStatus,
    pub directive: String,
    pub directive_type: DirectiveType,
    pub requested_by: String,
    pub priority: i16,
    pub tags: Vec<String>,
    /// Why it is not admitted yet.
    pub hold: Option<String>,
    pub cancel_requested: bool,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub tokens: TokensView,
    /// The run that this one repeats.
    pub origin: Option<OriginView>,
}

impl From<Run> for RunSummary {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            status: run.status,
            directive: run.directive_name,
            directive_type: run.directive_type,
            requested_by: run.requested_by,
            priority: run.priority,
            tags: run.tags,
            hold: run.hold,
            cancel_requested: run.cancel_requested,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            tokens: run.tokens.into(),
            origin: run.origin.map(Into::into),
        }
    }
}

/// A run that succeeded.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct SuccessView {
    run: RunId,
    finished_at: DateTime<Utc>,
}

impl From<Success> for SuccessView {
    fn from(Success { run, finished_at }: Success) -> Self {
        Self { run, finished_at }
    }
}

/// One page of Runs, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunPage {
    /// With since_last_success: the success after which the runs were created; null when none has succeeded yet.
    pub since: Option<SuccessView>,
    pub runs: Vec<RunSummary>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// A file that a Run left.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ArtifactView {
    pub id: ArtifactId,
    pub run_id: RunId,
    pub run_job: Option<RunJobId>,
    pub r#type: ArtifactType,
    /// Host that holds the file.
    pub host: Option<String>,
    /// Relative to the logs root of the host.
    pub path: String,
    pub size_bytes: i64,
    sha256: String,
    pub mime_type: String,
    pub created_at: DateTime<Utc>,
    /// Set when retention removed the file.
    pub removed_at: Option<DateTime<Utc>>,
}

impl From<Artifact> for ArtifactView {
    fn from(file: Artifact) -> Self {
        Self {
            id: file.id,
            run_id: file.run,
            run_job: file.run_job,
            r#type: file.kind,
            host: file.host,
            path: file.path,
            size_bytes: file.size_bytes,
            sha256: file.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            mime_type: file.mime_type,
            created_at: file.created_at,
            removed_at: file.removed_at,
        }
    }
}

/// One page of artifacts, oldest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ArtifactPage {
    pub artifacts: Vec<ArtifactView>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}
