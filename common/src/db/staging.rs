//! What a launcher reads to stage the inputs of one worker.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use cyberbrain_core::{
    ids::{HostId, RunJobId},
    spec::ImageRef,
    staging::{PreviousResult, Window},
};

use super::{Conn, Error};

/// An image that workers may run from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedImage {
    /// Made by each launcher from its own executable.
    Builtin,
    /// An image ID or a registry digest.
    Pinned(String),
}

/// What the allowlist says of an image now; `None` if it is not on it or switched off.
///
/// # Errors
/// A database error.
pub async fn allowed_image(connection: &mut Conn, image: &ImageRef) -> Result<Option<AllowedImage>, Error> {
    let row = sqlx::query!(
        "select pin, builtin from worker_image_allowlist where name = $1 and tag = $2 and active",
        image.name,
        image.tag,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|row| match (row.builtin, row.pin) {
        (true, _) => Some(AllowedImage::Builtin),
        (false, pin) => pin.map(AllowedImage::Pinned),
    }))
}

/// Every image that workers may run from, with its pin; the built-in one has none.
///
/// # Errors
/// A database error.
pub async fn allowed_images(connection: &mut Conn) -> Result<Vec<(ImageRef, AllowedImage)>, Error> {
    let rows = sqlx::query!("select name, tag, pin, builtin from worker_image_allowlist where active")
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let allowed = match (row.builtin, row.pin) {
                (true, _) => AllowedImage::Builtin,
                (false, pin) => AllowedImage::Pinned(pin?),
            };
            Some((ImageRef { name: row.name, tag: row.tag }, allowed))
        })
        .collect())
}

/// A container whose logs may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedContainer {
    /// The engine's id, or the beginning of it.
    pub id: String,
    /// Covers a recreated container of this name too; empty if none was given.
    pub name: String,
}

impl AllowedContainer {
    /// By id, by the beginning of its id as engines print it, or by name. `db::inventory` says the same in SQL; a test
    /// holds the two together.
    #[must_use]
    pub fn covers(&self, id: &str, name: &str) -> bool {
        const SHORT_ID: usize = 12;
        let by_id = self.id == id || (self.id.len() >= SHORT_ID && id.starts_with(&self.id));
        by_id || self.id == name || (!self.name.is_empty() && self.name == name)
    }
}

/// The containers of this host whose logs may be read.
///
/// # Errors
/// A database error.
pub async fn allowed_containers(connection: &mut Conn, host: HostId) -> Result<Vec<AllowedContainer>, Error> {
    let rows = sqlx::query!(
        "select c.container_id, c.container_name from container_allowlist c
         where c.enabled and (c.host = '*' or c.host = (select name from hosts where id = $1))
         order by c.container_id",
        host.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AllowedContainer { id: row.container_id, name: row.container_name })
        .collect())
}

/// Up to when each container's log was read by the last successful job of this key, by container name.
///
/// # Errors
/// A database error.
pub async fn cursors(
    connection: &mut Conn,
    task_key: &str,
    host: HostId,
) -> Result<BTreeMap<String, DateTime<Utc>>, Error> {
    let rows = sqlx::query!(
        "select container_name, collected_until from collection_cursors where task_key = $1 and host_id = $2",
        task_key,
        host.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.container_name, row.collected_until)).collect())
}

/// How far one container's log has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub container_name: String,
    pub until: DateTime<Utc>,
}

/// Moves the cursors on. Belongs into the transaction that stores the success; a cursor never goes back.
///
/// # Errors
/// A database error.
pub async fn advance_cursors(
    connection: &mut Conn,
    task_key: &str,
    host: HostId,
    run_job: RunJobId,
    cursors: &[Cursor],
) -> Result<(), Error> {
    if cursors.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = cursors.iter().map(|cursor| cursor.container_name.clone()).collect();
    let times: Vec<DateTime<Utc>> = cursors.iter().map(|cursor| cursor.until).collect();
    sqlx::query!(
        "insert into collection_cursors as c (task_key, host_id, container_name, collected_until, run_job_id)
         select distinct on (name) $1, $2, name, until, $3
         from unnest($4::text[], $5::timestamptz[]) as t(name, until) order by name, until desc
         on conflict (task_key, host_id, container_name) do update
             set collected_until = excluded.collected_until, run_job_id = excluded.run_job_id
             where c.collected_until < excluded.collected_until",
        task_key,
        host.uuid(),
        run_job.uuid(),
        &names,
        &times,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The result of the last RunJob of this key that succeeded on this host.
///
/// # Errors
/// A database error, or [`Error::Malformed`].
pub async fn previous_result(
    connection: &mut Conn,
    task_key: &str,
    host: HostId,
) -> Result<Option<PreviousResult>, Error> {
    let row = sqlx::query!(
        r#"select run_id, finished_at as "finished_at!", result as "result!" from run_jobs
           where task_key = $1 and host_id = $2 and status = 'success' and result is not null
           order by finished_at desc limit 1"#,
        task_key,
        host.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let result = serde_json::from_value(row.result)
            .map_err(|source| Error::Malformed { what: "job result", source })?;
        Ok(PreviousResult { run_id: row.run_id.into(), finished_at: row.finished_at, result })
    })
    .transpose()
}

/// The database's time, and a window that ends there.
///
/// # Errors
/// A database error.
pub async fn window_until_now(connection: &mut Conn, length: TimeDelta) -> Result<Window, Error> {
    let to = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(connection).await?;
    Ok(Window { from: to - length, to })
}
