//! Directives and jobs.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::library::{Directive, JobTemplate};
use cyberbrain_core::{
    grant::{CacheRef, PullPolicy, SecretRef},
    ids::{DirectiveId, JobId},
    outcome::OutputSchema,
    spec::{
        DirectiveType, GpuRequest, JobScope, JobSpec, Network, OnHostLost, Resources, RetryPolicy, Timeouts,
    },
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One version of a directive.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DirectiveView {
    id: DirectiveId,
    r#type: DirectiveType,
    name: String,
    version: u32,
    description: String,
    text: String,
    /// Keys of the jobs that it allows; empty means all.
    jobs: Vec<String>,
    #[schema(value_type = Object)]
    config: Value,
    approval_required: bool,
    max_concurrent_runs: Option<u32>,
    /// Whether launches may name it.
    active: bool,
    builtin: bool,
    /// When this version was made.
    created_at: DateTime<Utc>,
    /// When the version after it took its place; null for the current one.
    superseded_at: Option<DateTime<Utc>>,
}

impl DirectiveView {
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl From<Directive> for DirectiveView {
    fn from(row: Directive) -> Self {
        let snapshot = row.snapshot;
        Self {
            id: snapshot.id,
            r#type: snapshot.kind,
            name: snapshot.name,
            version: snapshot.version,
            description: snapshot.description,
            text: snapshot.text,
            jobs: snapshot.task_list,
            config: snapshot.task_config,
            approval_required: snapshot.approval_required,
            max_concurrent_runs: snapshot.max_concurrent_runs,
            active: row.active,
            builtin: row.builtin,
            created_at: row.created_at,
            superseded_at: row.superseded_at,
        }
    }
}

/// One page of directives, or of the versions of one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DirectivePage {
    pub directives: Vec<DirectiveView>,
    /// Pass it as `cursor` to read on; null on the last page.
    pub next_cursor: Option<String>,
}

/// A job template.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobView {
    id: JobId,
    /// What a launch calls it: its key.
    job: String,
    aliases: Vec<String>,
    name: String,
    description: String,
    /// `per_host`: one RunJob becomes one on each host.
    scope: JobScope,
    default_directive: DirectiveType,
    spec: JobSpecView,
    /// Whether launches may name it.
    active: bool,
    builtin: bool,
    version: u32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// How a job's worker runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobSpecView {
    /// `name:tag`.
    image: String,
    command: Vec<String>,
    /// Names only: values may be secret.
    env: Vec<String>,
    resources: Resources,
    gpu: GpuRequest,
    timeouts: Timeouts,
    retry: RetryPolicy,
    network: Network,
    on_host_lost: OnHostLost,
    host: Option<String>,
    /// What its result may hold; null means any named values.
    output: Option<OutputSchema>,
    /// Names of secrets of its host; never what is in them.
    secrets: Vec<SecretRef>,
    caches: Vec<CacheRef>,
    pull: PullPolicy,
}

impl JobView {
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }
}

impl From<JobTemplate> for JobView {
    fn from(row: JobTemplate) -> Self {
        Self {
            id: row.id,
            job: row.task_key,
            aliases: row.aliases,
            name: row.name,
            description: row.description,
            scope: row.scope,
            default_directive: row.default_directive,
            spec: row.spec.into(),
            active: row.active,
            builtin: row.builtin,
            version: row.version.unsigned_abs(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<JobSpec> for JobSpecView {
    fn from(spec: JobSpec) -> Self {
        Self {
            image: spec.image.to_string(),
            command: spec.command,
            env: spec.env.into_keys().collect(),
            resources: spec.resources,
            gpu: spec.gpu,
            timeouts: spec.timeouts,
            retry: spec.retry,
            network: spec.network,
            on_host_lost: spec.on_host_lost,
            host: spec.host,
            output: spec.output,
            secrets: spec.secrets,
            caches: spec.caches,
            pull: spec.pull,
        }
    }
}

/// One page of jobs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobPage {
    pub jobs: Vec<JobView>,
    /// Pass it as `cursor` to read on; null on the last page.
    pub next_cursor: Option<String>,
}
