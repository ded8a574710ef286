//! The container allowlist: whose logs may be read.

use chrono::{DateTime, Utc};
use cyberbrain_core::audit::{Actor, Operation};

use super::{Conn, Error, audit};

/// A container that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedContainer<'a> {
    pub id: &'a str,
    /// A recreated container of this name stays covered.
    pub name: &'a str,
    /// Host name, or `*` for all.
    pub host: &'a str,
}

/// Adds a container, or switches it on again. Audited.
///
/// # Errors
/// A database error, also for an id that is none.
pub async fn allow(
    connection: &mut Conn,
    container: AllowedContainer<'_>,
    actor: &Actor,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into container_allowlist (container_id, container_name, host, version)
         values ($1, $2, $3, nextval('library_versions')::integer)
         on conflict (container_id) do update set container_name = excluded.container_name, host = excluded.host,
             enabled = true, version = excluded.version, updated_at = now()",
        container.id,
        container.name,
        container.host,
    )
    .execute(&mut *connection)
    .await?;
    let entry = audit::Entry::new(Operation::Change, actor).container(container.id).config(
        serde_json::json!({ "container_allowlist": "allow", "name": container.name, "host": container.host }),
    );
    audit::write(connection, entry).await
}

/// Removes a container from the list. Audited.
///
/// # Errors
/// A database error.
pub async fn disallow(connection: &mut Conn, id: &str, actor: &Actor) -> Result<(), Error> {
    if !delete(connection, id).await? {
        return Ok(());
    }
    let entry = audit::Entry::new(Operation::Change, actor)
        .container(id)
        .config(serde_json::json!({ "container_allowlist": "disallow" }));
    audit::write(connection, entry).await
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The engine's id, the beginning of it (12 characters or more), or a container's name.
    pub container_id: String,
    pub content: Content,
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What the list says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// A recreated container of this name stays covered; empty if there is none.
    pub container_name: String,
    /// Host name, or `*` for all.
    pub host: String,
    pub description: String,
    pub tags: Vec<String>,
    pub enabled: bool,
}

struct Row {
    container_id: String,
    container_name: String,
    host: String,
    description: String,
    tags: Vec<String>,
    enabled: bool,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            container_id: row.container_id,
            content: Content {
                container_name: row.container_name,
                host: row.host,
                description: row.description,
                tags: row.tags,
                enabled: row.enabled,
            },
            version: row.version.unsigned_abs(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Up to `limit` entries by id, from the one after `after` on; all, or those that are enabled or not.
///
/// # Errors
/// When the database can't be read.
pub async fn list(
    connection: &mut Conn,
    enabled: Option<bool>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select container_id, container_name, host, description, tags, enabled, version, created_at, updated_at
         from container_allowlist
         where ($1::boolean is null or enabled = $1) and ($2::text is null or container_id > $2)
         order by container_id limit $3",
        enabled,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One entry.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, id: &str) -> Result<Option<Entry>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select container_id, container_name, host, description, tags, enabled, version, created_at, updated_at
         from container_allowlist where container_id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// One entry that nobody else changes before the caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn lock(connection: &mut Conn, id: &str) -> Result<Option<Entry>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select container_id, container_name, host, description, tags, enabled, version, created_at, updated_at
         from container_allowlist where container_id = $1 for no key update",
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// Adds an entry; `None` if there is one for this id, enabled or not.
///
/// # Errors
/// When the database refuses.
pub async fn insert(connection: &mut Conn, id: &str, content: &Content) -> Result<Option<Entry>, Error> {
    let row = sqlx::query_as!(
        Row,
        "insert into container_allowlist (container_id, container_name, host, description, tags, enabled, version)
         values ($1, $2, $3, $4, $5, $6, nextval('library_versions')::integer)
         on conflict (container_id) do nothing
         returning container_id, container_name, host, description, tags, enabled, version, created_at, updated_at",
        id,
        content.container_name,
        content.host,
        content.description,
        &content.tags,
        content.enabled,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// Changes a locked entry.
///
/// # Errors
/// When the database refuses.
pub async fn update(connection: &mut Conn, id: &str, content: &Content) -> Result<Entry, Error> {
    let row = sqlx::query_as!(
        Row,
        "update container_allowlist set container_name = $2, host = $3, description = $4, tags = $5, enabled = $6,
             version = nextval('library_versions')::integer, updated_at = now()
         where container_id = $1
         returning container_id, container_name, host, description, tags, enabled, version, created_at, updated_at",
        id,
        content.container_name,
        content.host,
        content.description,
        &content.tags,
        content.enabled,
    )
    .fetch_one(connection)
    .await?;
    Ok(row.into())
}

/// Takes an entry off the list; whether there was one.
///
/// # Errors
/// When the database refuses.
pub async fn delete(connection: &mut Conn, id: &str) -> Result<bool, Error> {
    let gone = sqlx::query!("delete from container_allowlist where container_id = $1", id)
        .execute(connection)
        .await?
        .rows_affected();
    Ok(gone > 0)
}
