//! Uploaded files that workers may read: their rows. The files are below the uploads root.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{RootId, RunJobId, UploadId},
    retention::Cause,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Col, Conn, Error,
    audit::{self, Entry},
    runs::After,
};

/// Which of these uploads are there, for a launch with them: from now on they count as used, and they can't be removed
/// before the caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn existing(connection: &mut Conn, uploads: &[UploadId]) -> Result<HashSet<UploadId>, Error> {
    if uploads.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.uuid()).collect();
    let found = sqlx::query!(
        r#"select id, used_at < now() - interval '1 hour' as "stale!" from uploads
           where id = any($1) and removed_at is null order by id for key share"#,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    // To the hour, so that launches with one upload don't wait for each other.
    if found.iter().any(|row| row.stale) {
        sqlx::query!(
            "update uploads set used_at = now() where id in (
                 select id from uploads where id = any($1) and used_at < now() - interval '1 hour'
                 order by id for no key update)",
            &ids,
        )
        .execute(connection)
        .await?;
    }
    Ok(found.into_iter().map(|row| row.id.into()).collect())
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUpload {
    pub id: UploadId,
    /// What the client called it; text only.
    pub name: String,
    pub size_bytes: i64,
    pub sha256: Vec<u8>,
    pub mime_type: String,
    pub uploaded_by: String,
    pub created_at: DateTime<Utc>,
    /// When a Run was last launched with it, to the hour; before that, when it was stored.
    pub used_at: DateTime<Utc>,
}

/// That an upload was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub at: DateTime<Utc>,
    pub by: String,
    /// `None`: somebody deleted it.
    pub cause: Option<Cause>,
}

/// What is known of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    There(StoredUpload),
    Removed(Removed),
}

/// A file that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub id: UploadId,
    pub name: String,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
    pub mime_type: String,
    /// The uploads root that it lies in.
    pub root: RootId,
}

/// Where the file of an upload is, below the uploads root. The client's name is no part of it.
#[must_use]
pub fn path_of(upload: UploadId) -> String {
    upload.to_string()
}

/// Stores the row with its audit row.
///
/// # Errors
/// When the database refuses.
pub async fn insert(connection: &mut Conn, upload: &NewUpload, actor: &Actor) -> Result<StoredUpload, Error> {
    let size_bytes = i64::try_from(upload.size_bytes).unwrap_or(i64::MAX);
    let uploaded_by = actor.to_string();
    let row = sqlx::query!(
        "insert into uploads (id, name, path, size_bytes, sha256, mime_type, uploaded_by, root_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning created_at, used_at",
        upload.id.uuid(),
        upload.name,
        path_of(upload.id),
        size_bytes,
        upload.sha256.as_slice(),
        upload.mime_type,
        uploaded_by,
        upload.root.uuid(),
    )
    .fetch_one(&mut *connection)
    .await?;
    let told = json!({ "upload": upload.id, "change": "stored", "size_bytes": size_bytes });
    audit::write(connection, Entry::new(Operation::Change, actor).config(told)).await?;
    Ok(StoredUpload {
        id: upload.id,
        name: upload.name.clone(),
        size_bytes,
        sha256: upload.sha256.to_vec(),
        mime_type: upload.mime_type.clone(),
        uploaded_by,
        created_at: row.created_at,
        used_at: row.used_at,
    })
}

/// One upload, also one that was removed.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, upload: UploadId) -> Result<Option<Known>, Error> {
    let row = sqlx::query!(
        r#"select id, name, size_bytes, sha256, mime_type, uploaded_by, created_at, used_at, removed_at, removed_by,
             removed_cause as "removed_cause: Col<Cause>"
           from uploads where id = $1"#,
        upload.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| match (row.removed_at, row.removed_by) {
        (Some(at), Some(by)) => {
            Known::Removed(Removed { at, by, cause: row.removed_cause.map(|cause| cause.0) })
        }
        (None, _) | (_, None) => Known::There(StoredUpload {
            id: row.id.into(),
            name: row.name,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            mime_type: row.mime_type,
            uploaded_by: row.uploaded_by,
            created_at: row.created_at,
            used_at: row.used_at,
        }),
    }))
}

/// Up to `limit` uploads that are not removed, newest first, from the row after `after` on.
///
/// # Errors
/// When the database can't be read.
pub async fn list(
    connection: &mut Conn,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<StoredUpload>, Error> {
    let rows = sqlx::query_as!(
        StoredUpload,
        "select id, name, size_bytes, sha256, mime_type, uploaded_by, created_at, used_at from uploads
         where removed_at is null and ($1::timestamptz is null or (created_at, id) < ($1, $2))
         order by created_at desc, id desc limit $3",
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// What came of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is marked as removed when the transaction commits; the file, in this directory, is to be unlinked then.
    Deleted {
        root: Option<RootId>,
    },
    /// It had been removed before.
    Removed(Removed),
    /// This unfinished RunJob still reads it.
    InUse(RunJobId),
    Unknown,
}

/// Marks it as removed, with its audit row, unless an unfinished RunJob has it as input.
///
/// # Errors
/// When the database refuses.
pub async fn delete(connection: &mut Conn, upload: UploadId, actor: &Actor) -> Result<Deletion, Error> {
    // Waits for launches that have just found it, and makes later ones wait for us.
    let root = sqlx::query_scalar!("select root_id from uploads where id = $1 for update", upload.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    match find(connection, upload).await? {
        None => return Ok(Deletion::Unknown),
        Some(Known::Removed(removed)) => return Ok(Deletion::Removed(removed)),
        Some(Known::There(_)) => {}
    }
    let reader = sqlx::query_scalar!(
        "select id from run_jobs
         where inputs @> array[$1::uuid] and inputs <> '{}' and status in ('pending', 'assigned', 'running')
         limit 1",
        upload.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(run_job) = reader {
        return Ok(Deletion::InUse(run_job.into()));
    }
    sqlx::query!(
        "update uploads set removed_at = now(), removed_by = $2 where id = $1",
        upload.uuid(),
        actor.to_string(),
    )
    .execute(&mut *connection)
    .await?;
    let told = json!({ "upload": upload, "change": "deleted" });
    audit::write(connection, Entry::new(Operation::Change, actor).config(told)).await?;
    Ok(Deletion::Deleted { root: root.flatten().map(Into::into) })
}
