//! Files that hosts hold, for retention: what there is, what is marked as removed, what is gone from the disk.
//!
//! A file is marked before it is unlinked, and noted as purged after: who is cut off in between is finished by the next
//! pass. Every step is bounded and may be repeated, and is about one directory of one host: who does not have it can say
//! nothing of its files. The lock of [`take_turn`] keeps launchers that share one from deciding on the same numbers at once.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{ArtifactId, AttemptId, HostId, RootId, RunId, RunJobId},
    lifecycle::RunStatus,
    retention::{Cause, HeldFile},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Col, Conn, Error,
    audit::{self, Entry},
    runs::After,
};

/// One directory of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub host: HostId,
    pub root: RootId,
}

/// Whose turn it is to decide about the files of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Ours, until the transaction ends.
    Ours,
    Anothers,
}

/// Takes the turn, without waiting for it.
///
/// # Errors
/// A database error.
pub async fn take_turn(connection: &mut Conn, at: Location) -> Result<Turn, Error> {
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('retention ' || $1::uuid || ' ' || $2::uuid, 0)) as "ours!""#,
        at.host.uuid(),
        at.root.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(if ours { Turn::Ours } else { Turn::Anothers })
}

/// Takes files of the host that were stored before directories had ids for files of this one; at most `limit`. Returns
/// how many.
///
/// # Errors
/// A database error.
pub async fn claim(connection: &mut Conn, at: Location, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update run_artifacts set root_id = $2 where id in (
             select id from run_artifacts where host_id = $1 and root_id is null limit $3)",
        at.host.uuid(),
        at.root.uuid(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// What a location holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub bytes: u64,
    /// The database's clock, by which files are as old as they are.
    pub now: DateTime<Utc>,
}

/// Size of all files of the location that are not removed.
///
/// # Errors
/// A database error.
pub async fn held(connection: &mut Conn, at: Location) -> Result<Held, Error> {
    let row = sqlx::query!(
        r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!", now() as "now!"
           from run_artifacts where host_id = $1 and root_id = $2 and removed_at is null"#,
        at.host.uuid(),
        at.root.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Held { bytes: row.bytes.unsigned_abs(), now: row.now })
}

/// Up to `limit` files of the location, oldest first and among equals by id, from the one after `after` on.
///
/// # Errors
/// A database error.
pub async fn oldest(
    connection: &mut Conn,
    at: Location,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<HeldFile<ArtifactId>>, Error> {
    let after = after.unwrap_or(After { created_at: DateTime::UNIX_EPOCH, id: Uuid::nil() });
    let rows = sqlx::query!(
        r#"select a.id, a.size_bytes, a.created_at, r.status as "status: Col<RunStatus>"
           from run_artifacts a join runs r on r.id = a.run_id
           where a.host_id = $1 and a.root_id = $2 and a.removed_at is null and (a.created_at, a.id) > ($3, $4)
           order by a.created_at, a.id limit $5"#,
        at.host.uuid(),
        at.root.uuid(),
        after.created_at,
        after.id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let files = rows.into_iter().map(|row| HeldFile {
        id: row.id.into(),
        bytes: row.size_bytes.unsigned_abs(),
        since: row.created_at,
        need: row.status.0.into(),
    });
    Ok(files.collect())
}

/// Marks files as removed, with one audit row per Run. A file that is marked already, or whose Run has not ended after
/// all, is left as it is. Returns how many were marked.
///
/// # Errors
/// A database error; the caller's transaction must not be committed then.
pub async fn mark(
    connection: &mut Conn,
    host: &str,
    files: &[ArtifactId],
    cause: Cause,
    actor: &Actor,
) -> Result<u64, Error> {
    if files.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = files.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"with marked as (
               update run_artifacts a set removed_at = now(), removed_cause = $2 from runs r
               where a.id = any($1) and a.removed_at is null and r.id = a.run_id
                   and r.status in ('success', 'failed', 'cancelled')
               returning a.run_id, a.size_bytes)
           select run_id, count(*) as "files!", sum(size_bytes)::bigint as "bytes!" from marked group by run_id"#,
        &ids,
        cause.as_str(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let why = match cause {
        Cause::Age => "its files are older than what is kept",
        Cause::Bytes => "its files were the oldest of a directory that held more than it may",
    };
    let entries: Vec<Entry> = rows
        .iter()
        .map(|row| {
            Entry::new(Operation::Remove, actor)
                .run(row.run_id.into())
                .host(host)
                .reason(why)
                .config(json!({"cause": cause.as_str(), "files": row.files, "bytes": row.bytes}))
        })
        .collect();
    audit::write_all(connection, &entries).await?;
    Ok(rows.iter().map(|row| row.files.unsigned_abs()).sum())
}

/// A file that is marked as removed and may still be on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    pub id: ArtifactId,
    /// Relative to the logs root.
    pub path: String,
    pub rest: Rest,
}

/// What else the attempt that left a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Files that are kept.
    Kept,
    /// Nothing: its whole directory may go.
    Nothing { run: RunId, run_job: RunJobId, attempt: AttemptId },
}

/// Up to `limit` files of the location that are marked and not purged, with ids after `after`.
///
/// # Errors
/// A database error.
pub async fn marked(
    connection: &mut Conn,
    at: Location,
    after: Option<ArtifactId>,
    limit: i64,
) -> Result<Vec<Marked>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.path, a.run_id, a.run_job_id, a.attempt_id,
             exists (select 1 from run_artifacts k where k.attempt_id = a.attempt_id and k.removed_at is null) as "kept!"
           from run_artifacts a
           where a.host_id = $1 and a.root_id = $2 and a.removed_at is not null and a.purged_at is null and a.id > $3
           order by a.id limit $4"#,
        at.host.uuid(),
        at.root.uuid(),
        after.map_or_else(Uuid::nil, ArtifactId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let files = rows.into_iter().map(|row| Marked {
        id: row.id.into(),
        path: row.path,
        rest: match (row.kept, row.run_job_id, row.attempt_id) {
            (false, Some(run_job), Some(attempt)) => {
                Rest::Nothing { run: row.run_id.into(), run_job: run_job.into(), attempt: attempt.into() }
            }
            (true, _, _) | (false, None, _) | (false, _, None) => Rest::Kept,
        },
    });
    Ok(files.collect())
}

/// Files that have just been noted as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    pub files: u64,
    pub bytes: u64,
}

/// Notes that files are gone from the disk; each is counted for one caller only.
///
/// # Errors
/// A database error.
pub async fn purged(connection: &mut Conn, files: &[ArtifactId]) -> Result<Purged, Error> {
    let ids: Vec<Uuid> = files.iter().map(|id| id.uuid()).collect();
    let row = sqlx::query!(
        r#"with gone as (
               update run_artifacts set purged_at = now()
               where id = any($1) and removed_at is not null and purged_at is null returning size_bytes)
           select count(*) as "files!", coalesce(sum(size_bytes), 0)::bigint as "bytes!" from gone"#,
        &ids,
    )
    .fetch_one(connection)
    .await?;
    Ok(Purged { files: row.files.unsigned_abs(), bytes: row.bytes.unsigned_abs() })
}
