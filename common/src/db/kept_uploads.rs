//! Uploads, for retention: what there is, what is marked as removed, what is gone from the disk.
//!
//! As for the files of hosts ([`super::kept_files`]): marked before it is unlinked, noted as purged after, in bounded steps
//! that may be repeated, each about one directory. An upload that a RunJob needs which has not ended is never marked, also
//! when it is launched at the same moment.

use chrono::DateTime;
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{RootId, UploadId},
    retention::{Cause, HeldFile, Need},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Col, Conn, Error,
    audit::{self, Entry},
    kept_files::{Held, Turn},
    runs::After,
};

/// Takes the turn to decide about the uploads of a directory, until the transaction ends; without waiting for it.
///
/// # Errors
/// A database error.
pub async fn take_turn(connection: &mut Conn, root: RootId) -> Result<Turn, Error> {
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('uploads ' || $1::uuid, 0)) as "ours!""#,
        root.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(if ours { Turn::Ours } else { Turn::Anothers })
}

/// Takes uploads that were stored before directories had ids for files of this one; at most `limit`. Returns how many.
///
/// # Errors
/// A database error.
pub async fn claim(connection: &mut Conn, root: RootId, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update uploads set root_id = $1 where id in (
             select id from uploads where root_id is null order by id limit $2)",
        root.uuid(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Size of all uploads of the directory that are not removed.
///
/// # Errors
/// A database error.
pub async fn held(connection: &mut Conn, root: RootId) -> Result<Held, Error> {
    let row = sqlx::query!(
        r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!", now() as "now!"
           from uploads where root_id = $1 and removed_at is null"#,
        root.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Held { bytes: row.bytes.unsigned_abs(), now: row.now })
}

/// Up to `limit` uploads of the directory, that which was not used for longest first and among equals by id, from the one
/// after `after` on.
///
/// # Errors
/// A database error.
pub async fn oldest(
    connection: &mut Conn,
    root: RootId,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<HeldFile<UploadId>>, Error> {
    let after = after.unwrap_or(After { created_at: DateTime::UNIX_EPOCH, id: Uuid::nil() });
    let rows = sqlx::query!(
        r#"select u.id, u.size_bytes, u.used_at, exists (
               select 1 from run_jobs j
               where j.inputs @> array[u.id] and j.inputs <> '{}' and j.status in ('pending', 'assigned', 'running')) as "live!"
           from uploads u
           where u.root_id = $1 and u.removed_at is null and (u.used_at, u.id) > ($2, $3)
           order by u.used_at, u.id limit $4"#,
        root.uuid(),
        after.created_at,
        after.id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let files = rows.into_iter().map(|row| HeldFile {
        id: row.id.into(),
        bytes: row.size_bytes.unsigned_abs(),
        since: row.used_at,
        need: if row.live { Need::Live } else { Need::Over },
    });
    Ok(files.collect())
}

/// Marks uploads as removed, with an audit row each. One that is marked already, that a RunJob needs which has not ended
/// after all, or that is just being launched with is left as it is. Returns how many were marked.
///
/// # Errors
/// A database error; the caller's transaction must not be committed then.
pub async fn mark(
    connection: &mut Conn,
    uploads: &[UploadId],
    cause: Cause,
    actor: &Actor,
) -> Result<u64, Error> {
    if uploads.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.uuid()).collect();
    // Who launches holds its inputs `for key share`; later launches wait for us, and then don't find them.
    let free = sqlx::query_scalar!(
        "select id from uploads where id = any($1) and removed_at is null order by id for update skip locked",
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    // A statement of its own: it sees what was committed before the locks were ours.
    let marked = sqlx::query!(
        "update uploads u set removed_at = now(), removed_by = $2, removed_cause = $3
         where u.id = any($1) and not exists (
             select 1 from run_jobs j
             where j.inputs @> array[u.id] and j.inputs <> '{}' and j.status in ('pending', 'assigned', 'running'))
         returning u.id, u.size_bytes",
        &free,
        actor.to_string(),
        cause.as_str(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let why = match cause {
        Cause::Age => "no run was launched with it for longer than uploads are kept",
        Cause::Bytes => "there was more than may be, and no run was launched with it for longest",
    };
    let entries: Vec<Entry> = marked
        .iter()
        .map(|row| {
            let told = json!({ "upload": row.id, "cause": cause.as_str(), "bytes": row.size_bytes });
            Entry::new(Operation::Remove, actor).reason(why).config(told)
        })
        .collect();
    audit::write_all(connection, &entries).await?;
    Ok(marked.len() as u64)
}

/// Up to `limit` uploads of the directory that are marked and not purged, with ids after `after`.
///
/// # Errors
/// A database error.
pub async fn marked(
    connection: &mut Conn,
    root: RootId,
    after: Option<UploadId>,
    limit: i64,
) -> Result<Vec<UploadId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from uploads
         where root_id = $1 and removed_at is not null and purged_at is null and id > $2
         order by id limit $3",
        root.uuid(),
        after.map_or_else(Uuid::nil, UploadId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// Uploads that have just been noted as gone, by why they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// `None`: somebody deleted them.
    pub cause: Option<Cause>,
    pub files: u64,
    pub bytes: u64,
}

/// Notes that uploads are gone from the disk; each is counted for one caller only.
///
/// # Errors
/// A database error.
pub async fn purged(connection: &mut Conn, uploads: &[UploadId]) -> Result<Vec<Purged>, Error> {
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"with gone as (
               update uploads set purged_at = now()
               where id = any($1) and removed_at is not null and purged_at is null returning removed_cause, size_bytes)
           select removed_cause as "cause: Col<Cause>", count(*) as "files!", sum(size_bytes)::bigint as "bytes!"
           from gone group by removed_cause order by removed_cause"#,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let purged = rows.into_iter().map(|row| Purged {
        cause: row.cause.map(|cause| cause.0),
        files: row.files.unsigned_abs(),
        bytes: row.bytes.unsigned_abs(),
    });
    Ok(purged.collect())
}
