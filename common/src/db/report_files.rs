//! Reports that are to be written under a logs root, and the rows of those that are.
//!
//! The row of the Run is the fact, the files are a copy. A Run is locked from [`next`] to the end of the transaction, so that one
//! process writes at a time; until [`filed`] is committed the Run is found again, by whoever comes next.

use chrono::{DateTime, Utc};
use cyberbrain_core::ids::{ArtifactId, HostId, RunId};
use uuid::Uuid;

use super::{
    Conn, Error,
    artifacts::{ArtifactFile, ArtifactType},
    kept_files::Location,
    runs::After,
};
use crate::ids::fresh;

/// Files of one report.
pub const FILES: usize = 2;
/// How long a Run is left to the hosts that it ran on; later any host does. Only a preference: the lock decides.
const OTHERS_AFTER_SECONDS: f64 = 600.0;

/// A finished Run whose report is in no file yet; locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfiled {
    pub run: RunId,
    pub finished_at: DateTime<Utc>,
    pub wanted: Wanted,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Files {
        /// The first of the asked hosts that it ran on, if it ran on any.
        host: Option<HostId>,
        markdown: String,
        /// The report as JSON, for people's eyes.
        json: String,
    },
    /// Retention has begun to remove its files: it gets no new ones.
    Nothing,
}

/// Locks the next Run, by when it finished, that these hosts are to write the report of: one that ran on any of them, ran
/// nowhere, or that nobody else wrote in time. What another process has locked is passed over.
///
/// # Errors
/// A database error.
pub async fn next(
    connection: &mut Conn,
    hosts: &[HostId],
    after: Option<After>,
) -> Result<Option<Unfiled>, Error> {
    let hosts: Vec<Uuid> = hosts.iter().map(|host| host.uuid()).collect();
    let row = sqlx::query!(
        r#"select r.id, r.finished_at as "finished_at!", r.report_markdown as "markdown!",
             jsonb_pretty(r.report) as "json!", ours.host_id as "host?",
             exists (select 1 from run_artifacts a where a.run_id = r.id and a.removed_at is not null) as "removed!"
           from runs r
           left join lateral (
               select j.host_id from run_jobs j where j.run_id = r.id and j.host_id = any($1)
               order by j.ordinal limit 1) ours on true
           where r.report is not null and r.report_markdown is not null and r.report_filed_at is null
               and ($2::timestamptz is null or (r.finished_at, r.id) > ($2, $3))
               and (ours.host_id is not null or r.finished_at < now() - make_interval(secs => $4)
                   or not exists (select 1 from run_jobs j where j.run_id = r.id and j.host_id is not null))
           order by r.finished_at, r.id limit 1 for no key update of r skip locked"#,
        &hosts,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        OTHERS_AFTER_SECONDS,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Unfiled {
        run: row.id.into(),
        finished_at: row.finished_at,
        wanted: if row.removed {
            Wanted::Nothing
        } else {
            Wanted::Files { host: row.host.map(Into::into), markdown: row.markdown, json: row.json }
        },
    }))
}

/// Notes that the report of a locked Run is in these files of a host; they are as old as its end.
///
/// # Errors
/// A database error; the caller's transaction must not be committed then.
pub async fn filed(
    connection: &mut Conn,
    run: RunId,
    at: Location,
    files: &[ArtifactFile; FILES],
) -> Result<(), Error> {
    let ids = files.each_ref().map(|_| fresh::<ArtifactId>().uuid());
    let paths = files.each_ref().map(|file| file.path.clone());
    let sizes = files.each_ref().map(|file| i64::try_from(file.size_bytes).unwrap_or(i64::MAX));
    let hashes = files.each_ref().map(|file| file.sha256.to_vec());
    let types = files.each_ref().map(|file| file.mime_type.to_owned());
    sqlx::query!(
        "insert into run_artifacts (id, run_id, host_id, artifact_type, path, size_bytes, sha256, mime_type, created_at,
             root_id)
         select t.id, r.id, $3, $4, path, size_bytes, sha256, mime_type, r.finished_at, $9
         from runs r, unnest($1::uuid[], $5::text[], $6::bigint[], $7::bytea[], $8::text[])
             as t(id, path, size_bytes, sha256, mime_type)
         where r.id = $2
         on conflict (host_id, path) do nothing",
        &ids[..],
        run.uuid(),
        at.host.uuid(),
        ArtifactType::Report.as_str(),
        &paths[..],
        &sizes[..],
        &hashes[..],
        &types[..],
        at.root.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    settle(connection, run).await
}

/// Notes that there is nothing left to do about a locked Run.
///
/// # Errors
/// A database error.
pub async fn settle(connection: &mut Conn, run: RunId) -> Result<(), Error> {
    sqlx::query!("update runs set report_filed_at = now() where id = $1", run.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
