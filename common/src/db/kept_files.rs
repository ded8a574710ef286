//! Files that hosts hold, for retention: what there is, what is marked as removed, what is gone from the disk.
//!
//! A file is marked before it is unlinked, and noted as purged after: who is cut off in between is finished by the next
//! pass. Every step is bounded and may be repeated. The lock of [`take_turn`] keeps launchers of one host from deciding
//! on the same numbers at once.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{ArtifactId, AttemptId, HostId, RunId, RunJobId},
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

/// Whose turn it is to decide about a host's files.
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
pub async fn take_turn(connection: &mut Conn, host: HostId) -> Result<Turn, Error> {
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('retention ' || $1::uuid::text, 0)) as "ours!""#,
        host.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(if ours { Turn::Ours } else { Turn::Anothers })
}

/// What a host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub bytes: u64,
    /// The database's clock, by which files are as old as they are.
    pub now: DateTime<Utc>,
}

/// Size of all files of the host that are not removed.
///
/// # Errors
/// A database error.
pub async fn held(connection: &mut Conn, host: HostId) -> Result<Held, Error> {
    let row = sqlx::query!(
        r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!", now() as "now!"
           from run_artifacts where host_id = $1 and removed_at is null"#,
        host.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Held { bytes: row.bytes.unsigned_abs(), now: row.now })
}

/// Up to `limit` files of the host, oldest first, from the one after `after` on.
///
/// # Errors
/// A database error.
pub async fn oldest(
    connection: &mut Conn,
    host: HostId,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<HeldFile>, Error> {
    let after = after.unwrap_or(After { created_at: DateTime::UNIX_EPOCH, id: Uuid::nil() });
    let rows = sqlx::query!(
        r#"select a.id, a.size_bytes, a.created_at, r.status as "status: Col<RunStatus>"
           from run_artifacts a join runs r on r.id = a.run_id
           where a.host_id = $1 and a.removed_at is null and (a.created_at, a.id) > ($2, $3)
           order by a.created_at, a.id limit $4"#,
        host.uuid(),
        after.created_at,
        after.id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let files = rows.into_iter().map(|row| HeldFile {
        id: row.id.into(),
        bytes: row.size_bytes.unsigned_abs(),
        stored_at: row.created_at,
        run: row.status.0,
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
               update run_artifacts a set removed_at = now() from runs r
               where a.id = any($1) and a.removed_at is null and r.id = a.run_id
                   and r.status in ('success', 'failed', 'cancelled')
               returning a.run_id, a.size_bytes)
           select run_id, count(*) as "files!", sum(size_bytes)::bigint as "bytes!" from marked group by run_id"#,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let why = match cause {
        Cause::Age => "its files are older than what is kept",
        Cause::Bytes => "its files were the oldest of a host that held more than it may",
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

/// Up to `limit` files of the host that are marked and not purged, with ids after `after`.
///
/// # Errors
/// A database error.
pub async fn marked(
    connection: &mut Conn,
    host: HostId,
    after: Option<ArtifactId>,
    limit: i64,
) -> Result<Vec<Marked>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.path, a.run_id, a.run_job_id, a.attempt_id,
             exists (select 1 from run_artifacts k where k.attempt_id = a.attempt_id and k.removed_at is null) as "kept!"
           from run_artifacts a
           where a.host_id = $1 and a.removed_at is not null and a.purged_at is null and a.id > $2
           order by a.id limit $3"#,
        host.uuid(),
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
