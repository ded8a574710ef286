//! Files that workers left: their rows. The files stay on the host that made them.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{ArtifactId, AttemptId, HostId, RootId, RunId, RunJobId},
    retention::Cause,
    text_enum,
};
use uuid::Uuid;

use super::{Col, Conn, Error, runs::After};
use crate::ids::fresh;

text_enum! {
    /// What an artifact is.
    ArtifactType("artifact type") {
        Log = "log",
        Report = "report",
        Data = "data",
        Other = "other",
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFile {
    pub kind: ArtifactType,
    /// Relative to the logs root of its host.
    pub path: String,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
    pub mime_type: &'static str,
}

/// Whose files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub run: RunId,
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    pub host: HostId,
    /// The logs root that their paths are relative to.
    pub root: RootId,
    /// When they were left, if that is not now: their age is counted from then.
    pub left_at: Option<DateTime<Utc>>,
}

/// Stores the rows; a path that is there already is kept as it is.
///
/// # Errors
/// A database error.
pub async fn insert(connection: &mut Conn, origin: Origin, files: &[ArtifactFile]) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = files.iter().map(|_| fresh::<ArtifactId>().uuid()).collect();
    let kinds: Vec<String> = files.iter().map(|file| file.kind.as_str().to_owned()).collect();
    let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let sizes: Vec<i64> =
        files.iter().map(|file| i64::try_from(file.size_bytes).unwrap_or(i64::MAX)).collect();
    let hashes: Vec<Vec<u8>> = files.iter().map(|file| file.sha256.to_vec()).collect();
    let types: Vec<String> = files.iter().map(|file| file.mime_type.to_owned()).collect();
    sqlx::query!(
        "insert into run_artifacts (id, run_id, run_job_id, attempt_id, host_id, artifact_type, path, size_bytes,
             sha256, mime_type, root_id, created_at)
         select id, $2, $3, $4, $5, kind, path, size_bytes, sha256, mime_type, $11, coalesce($12::timestamptz, now())
         from unnest($1::uuid[], $6::text[], $7::text[], $8::bigint[], $9::bytea[], $10::text[])
             as t(id, kind, path, size_bytes, sha256, mime_type)
         on conflict (host_id, path) do nothing",
        &ids,
        origin.run.uuid(),
        origin.run_job.uuid(),
        origin.attempt.uuid(),
        origin.host.uuid(),
        &kinds,
        &paths,
        &sizes,
        &hashes,
        &types,
        origin.root.uuid(),
        origin.left_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One file of a Run, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub id: ArtifactId,
    pub run: RunId,
    pub run_job: Option<RunJobId>,
    /// The host that holds it.
    pub host_id: Option<HostId>,
    /// Its name.
    pub host: Option<String>,
    /// The logs root that holds it, if that is known.
    pub root: Option<RootId>,
    pub kind: ArtifactType,
    /// Relative to the logs root of its host.
    pub path: String,
    pub size_bytes: i64,
    pub sha256: Vec<u8>,
    pub mime_type: String,
    pub created_at: DateTime<Utc>,
    /// Set when retention removed the file.
    pub removed_at: Option<DateTime<Utc>>,
    /// Why it did.
    pub removed_cause: Option<Cause>,
}

/// Up to `limit` files of a Run, oldest first, from the row after `after` on.
///
/// # Errors
/// A database error.
pub async fn of_run(
    connection: &mut Conn,
    run: RunId,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Artifact>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select a.id, a.run_id, a.run_job_id, a.host_id, h.name as "host?", a.artifact_type as "kind: Col<ArtifactType>", a.path,
             a.size_bytes, a.sha256, a.mime_type, a.created_at, a.removed_at,
             a.root_id, a.removed_cause as "removed_cause: Col<Cause>"
           from run_artifacts a left join hosts h on h.id = a.host_id
           where a.run_id = $1 and ($2::timestamptz is null or (a.created_at, a.id) > ($2, $3))
           order by a.created_at, a.id limit $4"#,
        run.uuid(),
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One file.
///
/// # Errors
/// A database error.
pub async fn find(connection: &mut Conn, artifact: ArtifactId) -> Result<Option<Artifact>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select a.id, a.run_id, a.run_job_id, a.host_id, h.name as "host?",
             a.artifact_type as "kind: Col<ArtifactType>", a.path, a.size_bytes, a.sha256, a.mime_type, a.created_at,
             a.removed_at, a.root_id, a.removed_cause as "removed_cause: Col<Cause>"
           from run_artifacts a left join hosts h on h.id = a.host_id where a.id = $1"#,
        artifact.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

struct Row {
    id: Uuid,
    run_id: Uuid,
    run_job_id: Option<Uuid>,
    host_id: Option<Uuid>,
    host: Option<String>,
    kind: Col<ArtifactType>,
    path: String,
    size_bytes: i64,
    sha256: Vec<u8>,
    mime_type: String,
    created_at: DateTime<Utc>,
    removed_at: Option<DateTime<Utc>>,
    root_id: Option<Uuid>,
    removed_cause: Option<Col<Cause>>,
}

impl From<Row> for Artifact {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            run: row.run_id.into(),
            run_job: row.run_job_id.map(Into::into),
            host_id: row.host_id.map(Into::into),
            host: row.host,
            kind: row.kind.0,
            path: row.path,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            mime_type: row.mime_type,
            created_at: row.created_at,
            removed_at: row.removed_at,
            root: row.root_id.map(Into::into),
            removed_cause: row.removed_cause.map(|cause| cause.0),
        }
    }
}
