//! Uploaded files that workers may read: their rows. The files are below the uploads root.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{RunJobId, UploadId},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Error,
    audit::{self, Entry},
    runs::After,
};

/// Which of these uploads exist. They can't be deleted before the caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn existing(connection: &mut Conn, uploads: &[UploadId]) -> Result<HashSet<UploadId>, Error> {
    if uploads.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.uuid()).collect();
    let found =
        sqlx::query_scalar!("select id from uploads where id = any($1) order by id for key share", &ids)
            .fetch_all(connection)
            .await?;
    Ok(found.into_iter().map(Into::into).collect())
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
}

/// A file that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub id: UploadId,
    pub name: String,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
    pub mime_type: String,
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
    let created_at = sqlx::query_scalar!(
        "insert into uploads (id, name, path, size_bytes, sha256, mime_type, uploaded_by)
         values ($1, $2, $3, $4, $5, $6, $7) returning created_at",
        upload.id.uuid(),
        upload.name,
        path_of(upload.id),
        size_bytes,
        upload.sha256.as_slice(),
        upload.mime_type,
        uploaded_by,
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
        created_at,
    })
}

/// One upload.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, upload: UploadId) -> Result<Option<StoredUpload>, Error> {
    let row = sqlx::query_as!(
        StoredUpload,
        "select id, name, size_bytes, sha256, mime_type, uploaded_by, created_at from uploads where id = $1",
        upload.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// Up to `limit` uploads, newest first, from the row after `after` on.
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
        "select id, name, size_bytes, sha256, mime_type, uploaded_by, created_at from uploads
         where $1::timestamptz is null or (created_at, id) < ($1, $2)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The row is gone when the transaction commits; the file is the caller's then.
    Deleted,
    /// This unfinished RunJob still reads it.
    InUse(RunJobId),
    Unknown,
}

/// Deletes the row, with its audit row, unless an unfinished RunJob has it as input.
///
/// # Errors
/// When the database refuses.
pub async fn delete(connection: &mut Conn, upload: UploadId, actor: &Actor) -> Result<Deletion, Error> {
    // Waits for launches that have just found it, and makes later ones wait for us.
    let known = sqlx::query_scalar!("select id from uploads where id = $1 for update", upload.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_none() {
        return Ok(Deletion::Unknown);
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
    sqlx::query!("delete from uploads where id = $1", upload.uuid()).execute(&mut *connection).await?;
    let told = json!({ "upload": upload, "change": "deleted" });
    audit::write(connection, Entry::new(Operation::Change, actor).config(told)).await?;
    Ok(Deletion::Deleted)
}
