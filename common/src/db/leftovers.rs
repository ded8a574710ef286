//! Ended attempts whose files nobody listed: they were given up as lost, or left nothing that was worth a row.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{AttemptId, HostId, RunId, RunJobId},
    retention::Cause,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Error,
    audit::{self, Entry},
};

/// An attempt that has ended and of which no file has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub run: RunId,
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    pub host: HostId,
    pub ended_at: DateTime<Utc>,
    /// Since when, by the database's clock.
    pub now: DateTime<Utc>,
}

/// Which of these attempts of these hosts are over, with their container confirmed gone and their Run ended, and have no
/// row of any file, removed ones included.
///
/// # Errors
/// A database error.
pub async fn unlisted(
    connection: &mut Conn,
    hosts: &[HostId],
    attempts: &[AttemptId],
) -> Result<Vec<Leftover>, Error> {
    let hosts: Vec<Uuid> = hosts.iter().map(|id| id.uuid()).collect();
    let attempts: Vec<Uuid> = attempts.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select a.id, a.run_id, a.run_job_id, a.host_id, a.ended_at as "ended_at!", now() as "now!"
           from attempts a join runs r on r.id = a.run_id
           where a.id = any($1) and a.host_id = any($2) and a.state in ('done', 'lost') and a.released_at is not null
               and r.status in ('success', 'failed', 'cancelled')
               and not exists (select 1 from run_artifacts f where f.run_id = a.run_id and f.attempt_id = a.id)
           order by a.id"#,
        &attempts,
        &hosts,
    )
    .fetch_all(connection)
    .await?;
    let found = rows.into_iter().map(|row| Leftover {
        run: row.run_id.into(),
        run_job: row.run_job_id.into(),
        attempt: row.id.into(),
        host: row.host_id.into(),
        ended_at: row.ended_at,
        now: row.now,
    });
    Ok(found.collect())
}

/// Notes that the directory of an attempt without files is removed.
///
/// # Errors
/// A database error.
pub async fn removed(connection: &mut Conn, left: &Leftover, host: &str, actor: &Actor) -> Result<(), Error> {
    let entry = Entry::new(Operation::Remove, actor)
        .run(left.run)
        .run_job(left.run_job)
        .attempt(left.attempt)
        .host(host)
        .reason("its directory held no files that are listed, and is older than what is kept")
        .config(json!({"cause": Cause::Age.as_str(), "files": 0, "bytes": 0}));
    audit::write(connection, entry).await
}
