//! Where to find the output of a RunJob's attempt.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{AttemptId, Fence, HostId, RootId, RunId, RunJobId},
    lifecycle::AttemptState,
    retention::Cause,
};

use super::{Col, Conn, Error};

/// An attempt whose output is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedAttempt {
    pub run: RunId,
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    pub number: i32,
    pub host: HostId,
    pub state: AttemptState,
    /// Owners had the fences from 1 to this one.
    pub fence: Fence,
    /// The logs root that holds its output, once that is known.
    pub root: Option<RootId>,
    /// When retention removed its log, and why.
    pub removed: Option<(DateTime<Utc>, Option<Cause>)>,
}

/// The attempt of this number, or the newest one.
///
/// # Errors
/// When the database can't be read.
pub async fn find(
    connection: &mut Conn,
    run_job: RunJobId,
    number: Option<i32>,
) -> Result<Option<LoggedAttempt>, Error> {
    let row = sqlx::query!(
        r#"select a.run_id, a.id, a.number, a.host_id, a.state as "state: Col<AttemptState>", a.fence,
             f.root_id as "root?", f.removed_at as "removed_at?", f.removed_cause as "removed_cause?: Col<Cause>"
           from attempts a left join lateral (
               select root_id, removed_at, removed_cause from run_artifacts
               where run_id = a.run_id and attempt_id = a.id and artifact_type = 'log'
                   and split_part(path, '/', 5) like 'container-f%'
               order by removed_at is null, id limit 1) f on true
           where a.run_job_id = $1 and ($2::integer is null or a.number = $2)
           order by a.number desc limit 1"#,
        run_job.uuid(),
        number,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| LoggedAttempt {
        run: row.run_id.into(),
        run_job,
        attempt: row.id.into(),
        number: row.number,
        host: row.host_id.into(),
        state: row.state.0,
        fence: Fence(row.fence),
        root: row.root.map(Into::into),
        removed: row.removed_at.map(|at| (at, row.removed_cause.map(|cause| cause.0))),
    }))
}
