//! Runs: making one, reading one, listing them.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{RunId, RunJobId},
    lifecycle::RunStatus,
    run::DirectiveSnapshot,
    spec::DirectiveType,
    text_enum,
};
use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{Col, Conn, Error};

text_enum! {
    /// How a Run came to repeat another one.
    OriginKind("origin of a run") {
        /// Of the run jobs that had not succeeded.
        Retry = "retry",
        /// Of all run jobs.
        Clone = "clone",
    }
}

/// The Run that another one repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub kind: OriginKind,
    pub run: RunId,
}

/// A Run to be.
#[derive(Debug)]
pub struct NewRun<'a> {
    pub id: RunId,
    pub directive: &'a DirectiveSnapshot<Value>,
    pub requested_by: &'a str,
    pub priority: i32,
    pub tags: &'a [String],
    pub params: &'a Map<String, Value>,
    pub origin: Option<Origin>,
}

/// Stores a pending Run; returns when, by the database's clock.
///
/// # Errors
/// When the database refuses.
pub async fn insert(connection: &mut Conn, run: &NewRun<'_>) -> Result<DateTime<Utc>, Error> {
    let directive = run.directive;
    let created_at = sqlx::query_scalar!(
        "insert into runs (id, directive_id, directive_type, directive_name, directive_version, directive_snapshot,
             requested_by, priority, tags, params, origin, origin_run_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8::integer, $9, $10, $11, $12) returning created_at",
        run.id.uuid(),
        directive.id.uuid(),
        directive.kind.as_str(),
        directive.name,
        directive.version.cast_signed(),
        Json(directive) as _,
        run.requested_by,
        run.priority,
        run.tags,
        Json(run.params) as _,
        run.origin.map(|origin| origin.kind.as_str()),
        run.origin.map(|origin| origin.run.uuid()),
    )
    .fetch_one(connection)
    .await?;
    Ok(created_at)
}

/// Counts of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    pub prompt: i64,
    pub completion: i64,
}

/// A Run without its RunJobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub status: RunStatus,
    /// Why it is not admitted yet.
    pub hold: Option<String>,
    pub directive_type: DirectiveType,
    pub directive_name: String,
    pub requested_by: String,
    pub priority: i16,
    pub tags: Vec<String>,
    pub cancel_requested: bool,
    pub tokens: Tokens,
    /// The Run that this one repeats.
    pub origin: Option<Origin>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

struct Row {
    id: uuid::Uuid,
    status: Col<RunStatus>,
    hold: Option<String>,
    directive_type: Col<DirectiveType>,
    directive_name: String,
    requested_by: String,
    priority: i16,
    tags: Vec<String>,
    cancel_requested: bool,
    prompt_tokens: i64,
    completion_tokens: i64,
    origin: Option<Col<OriginKind>>,
    origin_run_id: Option<uuid::Uuid>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Row> for Run {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            status: row.status.0,
            hold: row.hold,
            directive_type: row.directive_type.0,
            directive_name: row.directive_name,
            requested_by: row.requested_by,
            priority: row.priority,
            tags: row.tags,
            cancel_requested: row.cancel_requested,
            tokens: Tokens { prompt: row.prompt_tokens, completion: row.completion_tokens },
            origin: row
                .origin
                .zip(row.origin_run_id)
                .map(|(kind, run)| Origin { kind: kind.0, run: run.into() }),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// One Run.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, run: RunId) -> Result<Option<Run>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, status as "status: Col<RunStatus>", hold,
             directive_type as "directive_type: Col<DirectiveType>", directive_name, requested_by, priority, tags,
             cancel_requested_at is not null as "cancel_requested!", prompt_tokens, completion_tokens,
             origin as "origin: Col<OriginKind>", origin_run_id, created_at, started_at, finished_at
           from runs where id = $1"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// Which Runs to list. What is not set does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these; empty: any.
    pub status: Vec<RunStatus>,
    /// Key of a job that it holds.
    pub job: Option<String>,
    /// Type (`D1`) or name of the directive.
    pub directive: Option<String>,
    pub tag: Option<String>,
    pub requested_by: Option<String>,
    /// Inclusive.
    pub created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
    /// Created after this success, which is not listed itself.
    pub since: Option<Success>,
    pub retried: Retried,
}

/// Whether Runs are listed that were retried already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retried {
    #[default]
    OrNot,
    NotYet,
}

/// A Run that succeeded, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    pub run: RunId,
    pub finished_at: DateTime<Utc>,
}

/// The last successful Run by its end; with `job`, of those that hold that job. The original's
/// `get_last_successful_run`.
///
/// # Errors
/// When the database can't be read.
pub async fn last_success(connection: &mut Conn, job: Option<&str>) -> Result<Option<Success>, Error> {
    let found = match job {
        None => {
            sqlx::query_as!(
                Ended,
                r#"select id, finished_at as "finished_at!" from runs r
                   where status = 'success' and finished_at is not null
                   order by finished_at desc, id desc limit 1"#,
            )
            .fetch_optional(connection)
            .await?
        }
        // By itself: an `exists` behind an `or` reads all run jobs. Of a job that never succeeded no run is looked at;
        // the order is that of the index which tells.
        Some(job) => {
            sqlx::query_as!(
                Ended,
                r#"select id, finished_at as "finished_at!" from runs r
                   where status = 'success' and finished_at is not null
                     and (select true from run_jobs s where s.task_key = $1 and s.status = 'success'
                         order by s.host_id limit 1)
                     and exists (select 1 from run_jobs j where j.run_id = r.id and j.task_key = $1)
                   order by finished_at desc, id desc limit 1"#,
                job,
            )
            .fetch_optional(connection)
            .await?
        }
    };
    Ok(found.map(|row| Success { run: row.id.into(), finished_at: row.finished_at }))
}

struct Ended {
    id: uuid::Uuid,
    finished_at: DateTime<Utc>,
}

/// The last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub created_at: DateTime<Utc>,
    pub id: uuid::Uuid,
}

/// The list with this condition on its jobs.
macro_rules! listed {
    ($holds:literal, $statuses:expr, $filter:ident, $after:ident, $limit:ident) => {
        sqlx::query_as!(
            Row,
            r#"select id, status as "status: Col<RunStatus>", hold,
                 directive_type as "directive_type: Col<DirectiveType>", directive_name, requested_by, priority, tags,
                 cancel_requested_at is not null as "cancel_requested!", prompt_tokens, completion_tokens,
                 origin as "origin: Col<OriginKind>", origin_run_id, created_at, started_at, finished_at
               from runs r
               where "#
                + $holds
                + r#" and ($1::text[] is null or status = any($1))
                 and ($3::text is null or directive_type = $3 or directive_name = $3)
                 and ($4::text is null or tags @> array[$4])
                 and ($5::text is null or requested_by = $5)
                 and ($6::timestamptz is null or created_at >= $6)
                 and ($7::timestamptz is null or created_at < $7)
                 and ($8::timestamptz is null or (created_at, id) < ($8, $9))
                 and ($10::timestamptz is null or (created_at > $10 and id <> $11))
                 and ($12 or (select true from runs c where c.origin_run_id = r.id and c.origin = 'retry' limit 1)
                     is null)
               order by created_at desc, id desc limit $13"#,
            $statuses as _,
            $filter.job,
            $filter.directive,
            $filter.tag,
            $filter.requested_by,
            $filter.created_after,
            $filter.created_before,
            $after.map(|after| after.created_at),
            $after.map(|after| after.id),
            $filter.since.map(|since| since.finished_at),
            $filter.since.map(|since| since.run.uuid()),
            $filter.retried == Retried::OrNot,
            $limit,
        )
    };
}

/// Up to `limit` Runs, newest first.
///
/// # Errors
/// When the database can't be read.
pub async fn list(
    connection: &mut Conn,
    filter: &Filter,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Run>, Error> {
    let statuses: Option<Vec<&str>> =
        (!filter.status.is_empty()).then(|| filter.status.iter().map(|status| status.as_str()).collect());
    // What is asked of the run jobs stands by itself: an `exists` behind an `or` reads all of them.
    let rows = match filter.job {
        Some(_) => {
            listed!(
                "exists (select 1 from run_jobs j where j.run_id = r.id and j.task_key = $2)",
                statuses.as_deref(),
                filter,
                after,
                limit
            )
            .fetch_all(connection)
            .await?
        }
        None => {
            listed!("$2::text is null", statuses.as_deref(), filter, after, limit)
                .fetch_all(connection)
                .await?
        }
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A Run's report; both forms are there once the Run was closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub status: RunStatus,
    pub markdown: Option<String>,
    pub json: Option<Value>,
}

/// The report of a Run.
///
/// # Errors
/// When the database can't be read.
pub async fn report(connection: &mut Conn, run: RunId) -> Result<Option<Report>, Error> {
    let row = sqlx::query!(
        r#"select status as "status: Col<RunStatus>", report_markdown, report from runs where id = $1"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Report { status: row.status.0, markdown: row.report_markdown, json: row.report }))
}

/// What a request to cancel met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelNoted {
    /// It is noted now.
    New,
    /// It was noted before.
    Before,
    /// The Run has ended; nothing was written.
    AlreadyEnded(RunStatus),
}

/// Locks the Run and notes that it is to be cancelled. `None`: there is no such Run.
///
/// # Errors
/// When the database refuses.
pub async fn note_cancel(connection: &mut Conn, run: RunId) -> Result<Option<CancelNoted>, Error> {
    let row = sqlx::query!(
        r#"select status as "status: Col<RunStatus>", cancel_requested_at is not null as "requested!"
           from runs where id = $1 for no key update"#,
        run.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.status.0.is_terminal() {
        return Ok(Some(CancelNoted::AlreadyEnded(row.status.0)));
    }
    if row.requested {
        return Ok(Some(CancelNoted::Before));
    }
    sqlx::query!("update runs set cancel_requested_at = now() where id = $1", run.uuid())
        .execute(connection)
        .await?;
    Ok(Some(CancelNoted::New))
}

/// The unfinished RunJobs of a Run whose cancellation is not noted yet, in the order in which they are locked.
///
/// # Errors
/// When the database can't be read.
pub async fn cancellable_run_jobs(connection: &mut Conn, run: RunId) -> Result<Vec<RunJobId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from run_jobs
         where run_id = $1 and status in ('pending', 'assigned', 'running') and cancel_requested_at is null
         order by id",
        run.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}
