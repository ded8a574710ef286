//! RunJobs: storing many at once, and reading them with where they run.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{AttemptId, JobId, RunId, RunJobId, UploadId},
    lifecycle::{AttemptState, FailureKind, RunJobStatus, StopReason},
    outcome::Progress,
    spec::JobSpec,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{Col, Conn, Error, runs::Tokens, transition::PlaceKind};

/// A frozen specification that one or many RunJobs of a launch share.
#[derive(Debug, Serialize)]
pub struct NewFrozen<'a> {
    /// What [`NewRunJob::frozen`] refers to.
    pub number: usize,
    pub job_id: JobId,
    pub task_key: &'a str,
    pub spec: &'a JobSpec,
    pub shape: &'a str,
    pub deadline_at: DateTime<Utc>,
}

/// A RunJob to be.
#[derive(Debug, Serialize)]
pub struct NewRunJob<'a> {
    pub id: RunJobId,
    /// Its place in the Run, from 0.
    pub ordinal: usize,
    pub frozen: usize,
    pub name: &'a str,
    pub params: &'a Map<String, Value>,
    pub inputs: &'a [UploadId],
    pub priority: i32,
}

/// Stores pending, not yet admitted RunJobs with one statement.
///
/// # Errors
/// When the database refuses.
pub async fn insert_all(
    connection: &mut Conn,
    run: RunId,
    submitter: &str,
    frozen: &[NewFrozen<'_>],
    run_jobs: &[NewRunJob<'_>],
) -> Result<(), Error> {
    sqlx::query!(
        "insert into run_jobs (id, run_id, ordinal, job_id, task_key, name, spec, params, inputs, priority, submitter,
             shape, deadline_at)
         select r.id, $1, r.ordinal, f.job_id, f.task_key, r.name, f.spec, r.params, r.inputs, r.priority, $2,
             f.shape, f.deadline_at
         from jsonb_to_recordset($4) as r(id uuid, ordinal integer, frozen integer, name text, params jsonb,
             inputs uuid[], priority smallint)
         join jsonb_to_recordset($3) as f(number integer, job_id uuid, task_key text, spec jsonb, shape text,
             deadline_at timestamptz) on f.number = r.frozen",
        run.uuid(),
        submitter,
        Json(frozen) as _,
        Json(run_jobs) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A RunJob with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RunJob {
    pub id: RunJobId,
    pub run: RunId,
    pub task_key: String,
    pub name: String,
    pub status: RunJobStatus,
    /// Name of the host where it runs or ran last.
    pub host: Option<String>,
    /// UUIDs of the cards of its newest attempt.
    pub gpus: Vec<String>,
    pub selection_reason: Option<String>,
    pub waiting_reason: Option<String>,
    pub attempts: i32,
    pub progress: Option<Progress>,
    pub failure: Option<FailureKind>,
    pub failure_detail: Option<String>,
    pub tokens: Tokens,
}

struct Row {
    id: uuid::Uuid,
    run_id: uuid::Uuid,
    task_key: String,
    name: String,
    status: Col<RunJobStatus>,
    host: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    waiting_reason: Option<String>,
    attempts: i32,
    progress: Option<Value>,
    failure: Option<Col<FailureKind>>,
    failure_detail: Option<String>,
    prompt_tokens: i64,
    completion_tokens: i64,
}

impl TryFrom<Row> for RunJob {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            run: row.run_id.into(),
            task_key: row.task_key,
            name: row.name,
            status: row.status.0,
            host: row.host,
            gpus: row.gpus,
            selection_reason: row.selection_reason,
            waiting_reason: row.waiting_reason,
            attempts: row.attempts,
            progress: parse("progress", row.progress)?,
            failure: row.failure.map(|failure| failure.0),
            failure_detail: row.failure_detail,
            tokens: Tokens { prompt: row.prompt_tokens, completion: row.completion_tokens },
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    value: Option<Value>,
) -> Result<Option<T>, Error> {
    value
        .map(|value| serde_json::from_value(value).map_err(|source| Error::Malformed { what, source }))
        .transpose()
}

/// The RunJobs of a Run, in the order of its request.
///
/// # Errors
/// When the database can't be read.
pub async fn of_run(connection: &mut Conn, run: RunId) -> Result<Vec<RunJob>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select j.id, j.run_id, j.task_key, j.name, j.status as "status: Col<RunJobStatus>", h.name as "host?",
             coalesce(g.gpus, '{}') as "gpus!", j.selection_reason,
             case when j.status = 'pending' then coalesce(j.waiting_reason, r.hold) end as waiting_reason,
             j.attempts, j.progress, j.failure as "failure: Col<FailureKind>", j.failure_detail, j.prompt_tokens,
             j.completion_tokens
           from run_jobs j
           join runs r on r.id = j.run_id
           left join hosts h on h.id = j.host_id
           left join (
               select a.run_job_id, a.number, array_agg(l.gpu_uuid order by l.gpu_uuid) as gpus
               from attempts a join gpu_leases l on l.attempt_id = a.id
               where a.run_job_id in (select id from run_jobs where run_id = $1)
               group by a.run_job_id, a.number
           ) g on g.run_job_id = j.id and g.number = j.attempts
           where j.run_id = $1 order by j.ordinal"#,
        run.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One RunJob.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, run_job: RunJobId) -> Result<Option<RunJob>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select j.id, j.run_id, j.task_key, j.name, j.status as "status: Col<RunJobStatus>", h.name as "host?",
             coalesce((select array_agg(l.gpu_uuid order by l.gpu_uuid)
                 from attempts a join gpu_leases l on l.attempt_id = a.id
                 where a.run_job_id = j.id and a.number = j.attempts), '{}') as "gpus!",
             j.selection_reason,
             case when j.status = 'pending' then coalesce(j.waiting_reason, r.hold) end as waiting_reason,
             j.attempts, j.progress, j.failure as "failure: Col<FailureKind>", j.failure_detail, j.prompt_tokens,
             j.completion_tokens
           from run_jobs j
           join runs r on r.id = j.run_id
           left join hosts h on h.id = j.host_id
           where j.id = $1"#,
        run_job.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// One attempt, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub number: i32,
    pub state: AttemptState,
    pub host: String,
    pub placement: PlaceKind,
    pub gpus: Vec<String>,
    pub selection_reason: String,
    pub container_id: Option<String>,
    pub image_id: Option<String>,
    pub stop_reason: Option<StopReason>,
    pub exit_code: Option<i32>,
    pub failure: Option<FailureKind>,
    pub failure_detail: Option<String>,
    /// What its calls to language models have used.
    pub tokens: Tokens,
    pub offered_at: DateTime<Utc>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub starting_at: Option<DateTime<Utc>>,
    pub running_at: Option<DateTime<Utc>>,
    pub stopping_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub released_at: Option<DateTime<Utc>>,
}

/// The newest `limit` attempts of a RunJob, oldest of them first.
///
/// # Errors
/// When the database can't be read.
pub async fn attempts(connection: &mut Conn, run_job: RunJobId, limit: i64) -> Result<Vec<Attempt>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.number, a.state as "state: Col<AttemptState>", h.name as host,
             a.placement as "placement: Col<PlaceKind>",
             coalesce((select array_agg(l.gpu_uuid order by l.gpu_uuid) from gpu_leases l
                 where l.attempt_id = a.id), '{}') as "gpus!",
             a.selection_reason, a.container_id, a.image_id, a.stop_reason as "stop_reason: Col<StopReason>",
             a.exit_code, a.failure as "failure: Col<FailureKind>", a.failure_detail, a.offered_at, a.accepted_at,
             a.starting_at, a.running_at, a.stopping_at, a.ended_at, a.released_at,
             coalesce(c.prompt, 0) as "prompt!", coalesce(c.completion, 0) as "completion!"
           from attempts a join hosts h on h.id = a.host_id
           left join lateral (
               select sum(prompt_tokens) as prompt, sum(completion_tokens) as completion
               from llm_calls where attempt_id = a.id) c on true
           where a.run_job_id = $1 order by a.number desc limit $2"#,
        run_job.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let attempts = rows.into_iter().rev().map(|row| Attempt {
        id: row.id.into(),
        number: row.number,
        state: row.state.0,
        host: row.host,
        placement: row.placement.0,
        gpus: row.gpus,
        selection_reason: row.selection_reason,
        container_id: row.container_id,
        image_id: row.image_id,
        stop_reason: row.stop_reason.map(|reason| reason.0),
        exit_code: row.exit_code,
        failure: row.failure.map(|failure| failure.0),
        failure_detail: row.failure_detail,
        tokens: Tokens { prompt: row.prompt, completion: row.completion },
        offered_at: row.offered_at,
        accepted_at: row.accepted_at,
        starting_at: row.starting_at,
        running_at: row.running_at,
        stopping_at: row.stopping_at,
        ended_at: row.ended_at,
        released_at: row.released_at,
    });
    Ok(attempts.collect())
}

/// Locks an unfinished RunJob and says whether its cancellation is noted; false for an ended one, `None` for an unknown
/// one.
///
/// # Errors
/// When the database can't be read.
pub async fn lock_cancel_requested(connection: &mut Conn, run_job: RunJobId) -> Result<Option<bool>, Error> {
    let requested = sqlx::query_scalar!(
        r#"select cancel_requested_at is not null and status in ('pending', 'assigned', 'running') as "requested!"
           from run_jobs where id = $1 for no key update"#,
        run_job.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(requested)
}
