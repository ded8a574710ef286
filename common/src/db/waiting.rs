//! RunJobs that wait for a place: grouped for the scheduler, and why they wait.
//!
//! A class is (priority, submitter, shape): for placement its members differ in nothing but their age. Every read is
//! bounded, by classes or by heads, whatever waits. Deliberately absent: who gets a place.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{ids::RunJobId, lifecycle::RunJobStatus, placement::WaitingCode};

use super::{Col, Conn, Error};

/// What the members of a class have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassKey {
    /// A higher number goes first.
    pub priority: i16,
    pub submitter: String,
    /// `core::placement`'s key of what is asked for.
    pub shape: String,
}

/// RunJobs that are due for a place and interchangeable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingClass {
    pub key: ClassKey,
    /// How many.
    pub waiting: u64,
    /// The reason that all of them have stored, if it is the same one.
    pub noted: Option<String>,
}

/// The classes with the highest priorities, and of one priority those with the oldest RunJob; at most `limit`.
///
/// # Errors
/// A database error.
pub async fn classes(connection: &mut Conn, limit: u32) -> Result<Vec<WaitingClass>, Error> {
    let rows = sqlx::query!(
        r#"select priority, submitter, shape, count(*) as "waiting!",
             case when count(waiting_reason) = count(*) and min(waiting_reason) = max(waiting_reason)
                 then min(waiting_reason) end as noted
           from run_jobs
           where status = 'pending' and admitted and not_before <= now() and cancel_requested_at is null
           group by priority, submitter, shape
           order by priority desc, min(created_at), submitter, shape limit $1"#,
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| WaitingClass {
            key: ClassKey { priority: row.priority, submitter: row.submitter, shape: row.shape },
            waiting: row.waiting.unsigned_abs(),
            noted: row.noted,
        })
        .collect())
}

/// One waiting RunJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingHead {
    /// Position of its class in the call.
    pub class: usize,
    pub run_job: RunJobId,
    pub waiting_since: DateTime<Utc>,
    /// `core::spec::JobSpec`, with the first head of each class only: the others ask for the same. Not read here, so
    /// that one that can't be read spoils only its class.
    pub spec: Option<serde_json::Value>,
}

/// The oldest RunJobs of each of these classes, as many as stand beside it; by class, then age.
///
/// # Errors
/// A database error.
pub async fn heads(connection: &mut Conn, quotas: &[(&ClassKey, u32)]) -> Result<Vec<WaitingHead>, Error> {
    let priorities: Vec<i16> = quotas.iter().map(|(key, _)| key.priority).collect();
    let submitters: Vec<String> = quotas.iter().map(|(key, _)| key.submitter.clone()).collect();
    let shapes: Vec<String> = quotas.iter().map(|(key, _)| key.shape.clone()).collect();
    let limits: Vec<i64> = quotas.iter().map(|(_, quota)| i64::from(*quota)).collect();
    let rows = sqlx::query!(
        r#"select c.class as "class!", h.id as "id!", h.waiting_since as "waiting_since!",
             case when h.place = 1 then h.spec end as spec
           from unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[])
               with ordinality as c(priority, submitter, shape, quota, class)
           cross join lateral (
               select o.*, row_number() over (order by o.created_at, o.id) as place from (
                   select j.id, j.created_at, greatest(j.not_before, j.created_at) as waiting_since, j.spec
                   from run_jobs j
                   where j.status = 'pending' and j.admitted and j.not_before <= now()
                       and j.cancel_requested_at is null and j.priority = c.priority
                       and j.submitter = c.submitter and j.shape = c.shape
                   order by j.created_at, j.id limit c.quota) o
           ) h
           order by c.class, h.place"#,
        &priorities,
        &submitters,
        &shapes,
        &limits,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| WaitingHead {
            // `with ordinality` counts from 1.
            class: usize::try_from(row.class).unwrap_or(usize::MAX).saturating_sub(1),
            run_job: row.id.into(),
            waiting_since: row.waiting_since,
            spec: row.spec,
        })
        .collect())
}

/// Open attempts per submitter.
///
/// # Errors
/// A database error.
pub async fn held_places(connection: &mut Conn) -> Result<BTreeMap<String, u64>, Error> {
    let rows = sqlx::query!(
        r#"select j.submitter, count(*) as "held!" from attempts a join run_jobs j on j.id = a.run_job_id
           where a.state not in ('done', 'lost') group by j.submitter"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.submitter, row.held.unsigned_abs())).collect())
}

/// Stores why the members of these classes wait, where something else is stored; at most `limit` rows. Skips rows
/// that somebody is just changing.
///
/// # Errors
/// A database error.
pub async fn note_reasons(
    connection: &mut Conn,
    reasons: &[(ClassKey, WaitingCode)],
    limit: u32,
) -> Result<u64, Error> {
    let priorities: Vec<i16> = reasons.iter().map(|(key, _)| key.priority).collect();
    let submitters: Vec<String> = reasons.iter().map(|(key, _)| key.submitter.clone()).collect();
    let shapes: Vec<String> = reasons.iter().map(|(key, _)| key.shape.clone()).collect();
    let codes: Vec<String> = reasons.iter().map(|(_, code)| code.as_str().to_owned()).collect();
    let done = sqlx::query!(
        "with c as (
             select * from unnest($1::smallint[], $2::text[], $3::text[], $4::text[])
                 as c(priority, submitter, shape, code)
         ), stale as (
             select j.id, c.code from c join run_jobs j
                 on j.priority = c.priority and j.submitter = c.submitter and j.shape = c.shape
             where j.status = 'pending' and j.admitted and j.waiting_reason is distinct from c.code
             order by j.id limit $5 for no key update of j skip locked
         )
         update run_jobs j set waiting_reason = stale.code from stale where j.id = stale.id",
        &priorities,
        &submitters,
        &shapes,
        &codes,
        i64::from(limit),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Unfinished RunJobs of one status and priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub status: RunJobStatus,
    pub priority: i16,
    pub run_jobs: u64,
}

/// How much is unfinished, by status and priority.
///
/// # Errors
/// A database error.
pub async fn depths(connection: &mut Conn) -> Result<Vec<Depth>, Error> {
    let rows = sqlx::query!(
        r#"select status as "status: Col<RunJobStatus>", priority, count(*) as "run_jobs!" from run_jobs
           where status in ('pending', 'assigned', 'running') group by status, priority"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Depth {
            status: row.status.0,
            priority: row.priority,
            run_jobs: row.run_jobs.unsigned_abs(),
        })
        .collect())
}

/// How long the oldest RunJob that is due has waited, in seconds; 0 if none waits.
///
/// # Errors
/// A database error.
pub async fn oldest_wait_seconds(connection: &mut Conn) -> Result<f64, Error> {
    let seconds = sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from now() - min(greatest(not_before, created_at))), 0)::double precision as "s!"
           from run_jobs where status = 'pending' and admitted and not_before <= now()"#
    )
    .fetch_one(connection)
    .await?;
    Ok(seconds.max(0.0))
}

/// How a RunJob stands, and what tells how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRow {
    pub status: RunJobStatus,
    pub task_key: String,
    pub admitted: bool,
    /// Why its Run is held.
    pub hold: Option<String>,
    /// Set while it is not due yet.
    pub not_before: Option<DateTime<Utc>>,
}

/// One RunJob.
///
/// # Errors
/// A database error.
pub async fn standing(connection: &mut Conn, run_job: RunJobId) -> Result<Option<StandingRow>, Error> {
    let row = sqlx::query!(
        r#"select j.status as "status: Col<RunJobStatus>", j.task_key, j.admitted, r.hold,
             case when j.not_before > now() then j.not_before end as not_before
           from run_jobs j join runs r on r.id = j.run_id where j.id = $1"#,
        run_job.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| StandingRow {
        status: row.status.0,
        task_key: row.task_key,
        admitted: row.admitted,
        hold: row.hold,
        not_before: row.not_before,
    }))
}
