//! Live workers of all hosts, and what waits, as people look at them.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{AttemptId, RunId, RunJobId},
    lifecycle::AttemptState,
};

use super::{Col, Conn, Error, runs::After};

/// An attempt that holds a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub attempt: AttemptId,
    pub number: i32,
    pub run: RunId,
    pub run_job: RunJobId,
    pub task_key: String,
    pub name: String,
    pub host: String,
    pub state: AttemptState,
    pub container_id: Option<String>,
    pub gpus: Vec<String>,
    pub offered_at: DateTime<Utc>,
    pub running_at: Option<DateTime<Utc>>,
}

/// A page of open attempts, newest first; with `host`, of that host only.
///
/// # Errors
/// A database error.
pub async fn list(
    connection: &mut Conn,
    host: Option<&str>,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Worker>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.number, a.run_id, a.run_job_id, j.task_key, j.name, h.name as host,
             a.state as "state: Col<AttemptState>", a.container_id,
             coalesce((select array_agg(l.gpu_uuid order by l.gpu_uuid) from gpu_leases l
                 where l.attempt_id = a.id and l.released_at is null), '{}') as "gpus!",
             a.offered_at, a.running_at
           from attempts a join run_jobs j on j.id = a.run_job_id join hosts h on h.id = a.host_id
           where a.state not in ('done', 'lost') and ($1::text is null or h.name = $1)
             and ($2::timestamptz is null or (a.offered_at, a.id) < ($2, $3))
           order by a.offered_at desc, a.id desc limit $4"#,
        host,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let workers = rows.into_iter().map(|row| Worker {
        attempt: row.id.into(),
        number: row.number,
        run: row.run_id.into(),
        run_job: row.run_job_id.into(),
        task_key: row.task_key,
        name: row.name,
        host: row.host,
        state: row.state.0,
        container_id: row.container_id,
        gpus: row.gpus,
        offered_at: row.offered_at,
        running_at: row.running_at,
    });
    Ok(workers.collect())
}

/// The RunJob of an attempt.
///
/// # Errors
/// A database error.
pub async fn run_job_of(connection: &mut Conn, attempt: AttemptId) -> Result<Option<RunJobId>, Error> {
    let id = sqlx::query_scalar!("select run_job_id from attempts where id = $1", attempt.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(id.map(Into::into))
}

/// The state of an attempt whose RunJob is locked.
///
/// # Errors
/// A database error.
pub async fn state_of(connection: &mut Conn, attempt: AttemptId) -> Result<Option<AttemptState>, Error> {
    let state = sqlx::query_scalar!(
        r#"select state as "state: Col<AttemptState>" from attempts where id = $1"#,
        attempt.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(state.map(|state| state.0))
}

/// RunJobs that wait for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `None`: nobody looked at them yet.
    pub reason: Option<String>,
    pub run_jobs: i64,
    pub oldest_at: DateTime<Utc>,
}

/// The most reasons that are told apart.
const MAX_REASONS: i64 = 100;

/// All RunJobs that wait, by why.
///
/// # Errors
/// A database error.
pub async fn waiting(connection: &mut Conn) -> Result<Vec<Waiting>, Error> {
    let rows = sqlx::query!(
        r#"select coalesce(j.waiting_reason, r.hold) as reason, count(*) as "run_jobs!", min(j.created_at) as "oldest_at!"
           from run_jobs j join runs r on r.id = j.run_id
           where j.status = 'pending' group by 1 order by 2 desc, 1 limit $1"#,
        MAX_REASONS,
    )
    .fetch_all(connection)
    .await?;
    let waiting = rows.into_iter().map(|row| Waiting {
        reason: row.reason,
        run_jobs: row.run_jobs,
        oldest_at: row.oldest_at,
    });
    Ok(waiting.collect())
}
