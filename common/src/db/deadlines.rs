//! What has lasted too long, by the database's clock.
//!
//! Each page is locked, so that what is done about it is done to what was seen; rows that somebody is just changing
//! are skipped. A page continues after the last row of the one before, so that rows which can't be moved never hide
//! others. Deliberately absent: what to do about it.

use chrono::{DateTime, Utc};
use cyberbrain_core::ids::{AttemptId, Fence, HostId, RunJobId};
use uuid::Uuid;

use super::{Conn, Error};

/// Position in the order in which overdue things are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub deadline_at: DateTime<Utc>,
    pub id: Uuid,
}

/// An attempt that is past its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverdueAttempt {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    pub host: HostId,
    pub fence: Fence,
    pub deadline_at: DateTime<Utc>,
}

impl OverdueAttempt {
    /// Where the next page begins.
    #[must_use]
    pub fn position(&self) -> After {
        After { deadline_at: self.deadline_at, id: self.attempt.uuid() }
    }
}

/// A page of offers that nobody took in time.
///
/// # Errors
/// A database error.
pub async fn offers(
    connection: &mut Conn,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<OverdueAttempt>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.run_job_id, a.host_id, a.fence, a.deadline_at as "deadline_at!"
           from attempts a join run_jobs j on j.id = a.run_job_id
           where a.state = 'offered' and a.state not in ('done', 'lost') and a.deadline_at <= now()
               and ($1::timestamptz is null or (a.deadline_at, a.id) > ($1, $2))
           order by a.deadline_at, a.id limit $3
           for no key update of j, a skip locked"#,
        after.map(|after| after.deadline_at),
        after.map(|after| after.id),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OverdueAttempt {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            host: row.host_id.into(),
            fence: Fence(row.fence),
            deadline_at: row.deadline_at,
        })
        .collect())
}

/// A page of taken attempts whose owner should long have moved them on.
///
/// # Errors
/// A database error.
pub async fn taken(
    connection: &mut Conn,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<OverdueAttempt>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.run_job_id, a.host_id, a.fence, a.deadline_at as "deadline_at!"
           from attempts a join run_jobs j on j.id = a.run_job_id
           where a.state in ('accepted', 'starting', 'running', 'stopping') and a.state not in ('done', 'lost')
               and a.deadline_at <= now() and ($1::timestamptz is null or (a.deadline_at, a.id) > ($1, $2))
           order by a.deadline_at, a.id limit $3
           for no key update of j, a skip locked"#,
        after.map(|after| after.deadline_at),
        after.map(|after| after.id),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OverdueAttempt {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            host: row.host_id.into(),
            fence: Fence(row.fence),
            deadline_at: row.deadline_at,
        })
        .collect())
}

/// A RunJob that has waited too long for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueRunJob {
    pub run_job: RunJobId,
    pub deadline_at: DateTime<Utc>,
    pub queue_seconds: u32,
    /// The last reason that was stored.
    pub waiting_reason: Option<String>,
}

impl OverdueRunJob {
    /// Where the next page begins.
    #[must_use]
    pub fn position(&self) -> After {
        After { deadline_at: self.deadline_at, id: self.run_job.uuid() }
    }
}

/// A page of RunJobs that have waited too long, admitted or not.
///
/// # Errors
/// A database error.
pub async fn waiting(
    connection: &mut Conn,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<OverdueRunJob>, Error> {
    let rows = sqlx::query!(
        r#"select id, deadline_at as "deadline_at!", waiting_reason,
             (spec -> 'timeouts' ->> 'queue_seconds')::bigint as "queue_seconds!"
           from run_jobs
           where status = 'pending' and deadline_at <= now()
               and ($1::timestamptz is null or (deadline_at, id) > ($1, $2))
           order by deadline_at, id limit $3 for no key update skip locked"#,
        after.map(|after| after.deadline_at),
        after.map(|after| after.id),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OverdueRunJob {
            run_job: row.id.into(),
            deadline_at: row.deadline_at,
            queue_seconds: u32::try_from(row.queue_seconds).unwrap_or(u32::MAX),
            waiting_reason: row.waiting_reason,
        })
        .collect())
}
