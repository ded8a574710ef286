//! Runs as what a repetition is made of.
//!
//! Deliberately absent: which of their RunJobs are repeated, and whether they may be.

use cyberbrain_core::{
    ids::{JobId, RunId, RunJobId, UploadId},
    lifecycle::{RunJobStatus, RunStatus},
    run::CUSTOM_DIRECTIVE_NAME,
    spec::{JobScope, JobSpec},
};
use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{Col, Conn, Error};

/// A Run that may be repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginRun {
    pub id: RunId,
    pub status: RunStatus,
    /// Name of the directive in the library; `None` when it was launched under none that is there.
    pub directive: Option<String>,
    /// The text that the launch brought, in the place of the directive's.
    pub custom_text: Option<String>,
    pub priority: i32,
    pub tags: Vec<String>,
    pub params: Map<String, Value>,
}

/// One of its RunJobs, as it was frozen.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginRunJob {
    pub id: RunJobId,
    pub status: RunJobStatus,
    /// `None` when the job is not in the library any more.
    pub job: Option<JobId>,
    pub task_key: String,
    /// Whether the job may be launched now.
    pub active: bool,
    pub scope: JobScope,
    pub name: String,
    pub spec: JobSpec,
    pub shape: String,
    pub params: Map<String, Value>,
    pub inputs: Vec<UploadId>,
    pub priority: i32,
}

/// The Run, locked against nothing: what is repeated of it does not change any more.
///
/// # Errors
/// When the database can't be read.
pub async fn run(connection: &mut Conn, run: RunId) -> Result<Option<OriginRun>, Error> {
    let row = sqlx::query!(
        r#"select r.status as "status: Col<RunStatus>", d.name as "directive?", r.directive_name,
             r.directive_snapshot ->> 'text' as text, r.priority, r.tags, r.params as "params: Json<Map<String, Value>>"
           from runs r left join directives d on d.id = r.directive_id where r.id = $1"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| OriginRun {
        id: run,
        status: row.status.0,
        directive: row.directive,
        custom_text: row.text.filter(|_| row.directive_name == CUSTOM_DIRECTIVE_NAME),
        priority: row.priority.into(),
        tags: row.tags,
        params: row.params.0,
    }))
}

/// The Run of a RunJob.
///
/// # Errors
/// When the database can't be read.
pub async fn run_of(connection: &mut Conn, run_job: RunJobId) -> Result<Option<RunId>, Error> {
    let run = sqlx::query_scalar!("select run_id from run_jobs where id = $1", run_job.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(run.map(Into::into))
}

/// The RunJobs of a Run, in order; with `only`, just that one.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn run_jobs(
    connection: &mut Conn,
    run: RunId,
    only: Option<RunJobId>,
) -> Result<Vec<OriginRunJob>, Error> {
    let rows = sqlx::query!(
        r#"select r.id, r.status as "status: Col<RunJobStatus>", j.id as "job?", r.task_key,
             coalesce(j.active, false) as "active!", coalesce(j.scope, 'one') as "scope!: Col<JobScope>", r.name, r.spec,
             r.shape, r.params as "params: Json<Map<String, Value>>", r.inputs, r.priority
           from run_jobs r left join jobs j on j.id = r.job_id
           where r.run_id = $1 and ($2::uuid is null or r.id = $2) order by r.ordinal"#,
        run.uuid(),
        only.map(RunJobId::uuid),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let spec = serde_json::from_value(row.spec)
                .map_err(|source| Error::Malformed { what: "job specification", source })?;
            Ok(OriginRunJob {
                id: row.id.into(),
                status: row.status.0,
                job: row.job.map(Into::into),
                task_key: row.task_key,
                active: row.active,
                scope: row.scope.0,
                name: row.name,
                spec,
                shape: row.shape,
                params: row.params.0,
                inputs: row.inputs.into_iter().map(Into::into).collect(),
                priority: row.priority.into(),
            })
        })
        .collect()
}
