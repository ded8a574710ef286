//! Closing a Run: its last RunJob has ended, so its tokens, status and report are written.
//!
//! Deliberately absent: what the report says (`core::report`), and deciding whether a Run is over.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{GpuUuid, RunId},
    lifecycle::{FailureKind, RunJobStatus, RunProgress},
    outcome::JobResult,
    report::{
        ArtifactLine, DirectiveLine, GpuShare, Headline, JobFacts, MAX_LISTED_ARTIFACTS, MAX_LISTED_JOBS,
        MAX_USAGE_LINES, Place, RunFacts, RunReport, Tokens, UsageLine,
    },
    spec::DirectiveType,
};
use futures::TryStreamExt as _;
use uuid::Uuid;

use super::{Col, Conn, Error, admission::After, transition::PlaceKind};

/// A page of Runs whose RunJobs have all ended, oldest first.
///
/// # Errors
/// A database error.
pub async fn candidates(
    connection: &mut Conn,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<After>, Error> {
    let rows = sqlx::query!(
        "select id, created_at from runs r
         where status in ('pending', 'running') and ($1::timestamptz is null or (created_at, id) > ($1, $2))
             and not exists (
                 select 1 from run_jobs j where j.run_id = r.id and j.status in ('pending', 'assigned', 'running'))
         order by created_at, id limit $3",
        after.map(|after| after.created_at),
        after.map(|after| after.run.uuid()),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| After { created_at: row.created_at, run: row.id.into() }).collect())
}

/// A Run that is locked and not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Locked {
    pub directive: DirectiveLine,
    pub requested_by: String,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// The database's time of this transaction.
    pub now: DateTime<Utc>,
}

/// Locks a Run; `None` if it is finished, or unknown.
///
/// # Errors
/// A database error.
pub async fn lock(connection: &mut Conn, run: RunId) -> Result<Option<Locked>, Error> {
    let row = sqlx::query!(
        r#"select directive_type as "directive_type: Col<DirectiveType>", directive_name, directive_version,
             requested_by, tags, created_at, started_at, now() as "now!"
           from runs where id = $1 and status in ('pending', 'running') for no key update"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Locked {
        directive: DirectiveLine {
            directive_type: row.directive_type.0,
            name: row.directive_name,
            version: row.directive_version.unsigned_abs(),
        },
        requested_by: row.requested_by,
        tags: row.tags,
        created_at: row.created_at,
        started_at: row.started_at,
        now: row.now,
    }))
}

/// Sums over the RunJobs of a locked Run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    pub progress: RunProgress,
    pub tokens: Tokens,
}

/// Sums up a locked Run. Its RunJobs can't be reopened, so what has ended stays ended.
///
/// # Errors
/// A database error.
pub async fn sums(connection: &mut Conn, run: RunId) -> Result<Sums, Error> {
    let row = sqlx::query!(
        r#"select count(*) filter (where status in ('pending', 'assigned', 'running')) as "open!",
             count(*) filter (where status = 'success') as "success!",
             count(*) filter (where status = 'failed') as "failed!",
             count(*) filter (where status = 'cancelled') as "cancelled!",
             coalesce(sum(prompt_tokens), 0)::bigint as "prompt!",
             coalesce(sum(completion_tokens), 0)::bigint as "completion!"
           from run_jobs where run_id = $1"#,
        run.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Sums {
        progress: RunProgress {
            open: row.open.unsigned_abs(),
            success: row.success.unsigned_abs(),
            failed: row.failed.unsigned_abs(),
            cancelled: row.cancelled.unsigned_abs(),
        },
        tokens: Tokens { prompt: row.prompt.unsigned_abs(), completion: row.completion.unsigned_abs() },
    })
}

/// Everything that the report of a locked Run is made of. Of its RunJobs the first ones that did not succeed, then
/// the first ones that did; in order.
///
/// # Errors
/// A database error. A result that can't be read is left out, not an error: the Run must end.
pub async fn facts(connection: &mut Conn, run: RunId, locked: Locked, sums: Sums) -> Result<RunFacts, Error> {
    let (usage, usage_left_out) = usage(connection, run).await?;
    let mut files = artifacts(connection, run).await?;
    // One result at a time is held in full; what the report says of it is small.
    let mut rows = sqlx::query!(
        r#"select j.id, j.ordinal, j.task_key, j.name, j.status as "status: Col<RunJobStatus>", h.name as "host?",
             j.selection_reason, j.attempts, j.started_at, j.finished_at, j.result,
             j.failure as "failure: Col<FailureKind>", j.failure_detail, j.prompt_tokens, j.completion_tokens,
             a.placement as "placement?: Col<PlaceKind>",
             coalesce(l.uuids, '{}') as "gpu_uuids!", coalesce(l.mib, '{}') as "gpu_mib!"
           from (
               select id from run_jobs where run_id = $1 order by status = 'success', ordinal limit $2) listed
           join run_jobs j on j.id = listed.id
           left join hosts h on h.id = j.host_id
           left join attempts a on a.run_job_id = j.id and a.number = j.attempts
           left join lateral (
               select array_agg(g.gpu_uuid order by g.gpu_uuid) as uuids,
                   array_agg(g.reserved_mib order by g.gpu_uuid) as mib
               from gpu_leases g where g.attempt_id = a.id) l on true
           order by j.ordinal"#,
        run.uuid(),
        i64::try_from(MAX_LISTED_JOBS).unwrap_or(i64::MAX),
    )
    .fetch(connection);
    let mut jobs = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let headline = row
            .result
            .and_then(|result| serde_json::from_value::<JobResult>(result).ok())
            .map(|result| Headline::of(&result));
        let shares = row.gpu_uuids.into_iter().zip(row.gpu_mib);
        let gpus =
            shares.map(|(uuid, mib)| GpuShare { uuid: GpuUuid::new(uuid), reserved_mib: mib.unsigned_abs() });
        let (artifacts, artifacts_left_out) = files.remove(&row.id).unwrap_or_default();
        jobs.push(JobFacts {
            id: row.id.into(),
            ordinal: row.ordinal.unsigned_abs(),
            job: row.task_key,
            name: row.name,
            status: row.status.0,
            host: row.host,
            place: row.placement.map(|kind| match kind.0 {
                PlaceKind::Gpu => Place::Gpu { gpus: gpus.collect() },
                PlaceKind::Cpu => Place::Cpu,
                PlaceKind::CpuFallback => Place::CpuFallback,
            }),
            selection_reason: row.selection_reason,
            attempts: row.attempts.unsigned_abs(),
            started_at: row.started_at,
            finished_at: row.finished_at,
            headline,
            failure: row.failure.map(|failure| failure.0),
            failure_detail: row.failure_detail,
            tokens: Tokens {
                prompt: row.prompt_tokens.unsigned_abs(),
                completion: row.completion_tokens.unsigned_abs(),
            },
            artifacts,
            artifacts_left_out,
        });
    }
    Ok(RunFacts {
        run,
        directive: locked.directive,
        requested_by: locked.requested_by,
        tags: locked.tags,
        created_at: locked.created_at,
        started_at: locked.started_at,
        finished_at: locked.now,
        progress: sums.progress,
        tokens: sums.tokens,
        usage,
        usage_left_out,
        jobs,
    })
}

/// Calls by job and model, those with the most tokens first, and how many lines there are beyond the limit.
async fn usage(connection: &mut Conn, run: RunId) -> Result<(Vec<UsageLine>, u64), Error> {
    let rows = sqlx::query!(
        r#"select j.task_key as "task_key!", c.model_id as "model_id!", sum(c.calls)::bigint as "calls!", sum(c.estimated)::bigint as "estimated!",
             sum(c.prompt)::bigint as "prompt!", sum(c.completion)::bigint as "completion!",
             sum(c.total)::bigint as "total!", count(*) over () as "lines!"
           from run_jobs j cross join lateral (
               select model_id, count(*) as calls, count(*) filter (where estimated) as estimated,
                   sum(prompt_tokens) as prompt, sum(completion_tokens) as completion, sum(total_tokens) as total
               from llm_calls where run_job_id = j.id group by model_id) c
           where j.run_id = $1
           group by j.task_key, c.model_id order by sum(c.total) desc, j.task_key, c.model_id limit $2"#,
        run.uuid(),
        i64::try_from(MAX_USAGE_LINES).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    let all = rows.first().map_or(0, |row| row.lines.unsigned_abs());
    let lines: Vec<UsageLine> = rows
        .into_iter()
        .map(|row| UsageLine {
            job: row.task_key,
            model: row.model_id,
            calls: row.calls.unsigned_abs(),
            estimated_calls: row.estimated.unsigned_abs(),
            prompt: row.prompt.unsigned_abs(),
            completion: row.completion.unsigned_abs(),
            total: row.total.unsigned_abs(),
        })
        .collect();
    let left_out = all.saturating_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX));
    Ok((lines, left_out))
}

/// The first files of each RunJob, and how many more it left.
async fn artifacts(
    connection: &mut Conn,
    run: RunId,
) -> Result<HashMap<Uuid, (Vec<ArtifactLine>, u64)>, Error> {
    let rows = sqlx::query!(
        r#"select id as "id!", run_job_id as "run_job!", artifact_type as "artifact_type!", path as "path!",
             size_bytes as "size_bytes!", more as "more!"
           from (
               select id, run_job_id, artifact_type, path, size_bytes,
                   row_number() over (partition by run_job_id order by artifact_type, path) as place,
                   greatest(count(*) over (partition by run_job_id) - $2, 0) as more
               from run_artifacts where run_id = $1 and run_job_id is not null and removed_at is null) a
           where place <= $2 order by run_job_id, place"#,
        run.uuid(),
        i64::try_from(MAX_LISTED_ARTIFACTS).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    let mut files: HashMap<Uuid, (Vec<ArtifactLine>, u64)> = HashMap::new();
    for row in rows {
        let of_job = files.entry(row.run_job).or_default();
        of_job.1 = row.more.unsigned_abs();
        let name = row.path.rsplit('/').next().unwrap_or_default().to_owned();
        let size_bytes = row.size_bytes.unsigned_abs();
        of_job.0.push(ArtifactLine { id: row.id.into(), kind: row.artifact_type, name, size_bytes });
    }
    Ok(files)
}

/// Writes the end of a locked Run.
///
/// # Errors
/// A database error.
pub async fn close(connection: &mut Conn, report: &RunReport, markdown: &str) -> Result<(), Error> {
    let json = serde_json::to_value(report).expect("a report serializes: all keys are text");
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query!(
        "update runs set status = $2, finished_at = $3, hold = null, prompt_tokens = $4, completion_tokens = $5,
             report = $6, report_markdown = $7
         where id = $1",
        Uuid::from(report.run_id),
        report.status.as_str(),
        report.finished_at,
        tokens(report.tokens.prompt),
        tokens(report.tokens.completion),
        json,
        markdown,
    )
    .execute(connection)
    .await?;
    Ok(())
}
