//! Where to find the output of a RunJob's attempt.

use cyberbrain_core::{
    ids::{AttemptId, Fence, HostId, RunId, RunJobId},
    lifecycle::AttemptState,
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
    /// Whether retention removed its log.
    pub removed: bool,
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
             exists (select 1 from run_artifacts f where f.run_id = a.run_id and f.attempt_id = a.id
                 and f.artifact_type = 'log' and split_part(f.path, '/', 5) like 'container-f%'
                 and f.removed_at is not null) as "removed!"
           from attempts a
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
        removed: row.removed,
    }))
}
