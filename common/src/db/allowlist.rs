//! The container allowlist: whose logs may be read.

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
        "insert into container_allowlist (container_id, container_name, host) values ($1, $2, $3)
         on conflict (container_id) do update set container_name = excluded.container_name, host = excluded.host,
             enabled = true, updated_at = now()",
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
    let gone = sqlx::query!("delete from container_allowlist where container_id = $1", id)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if gone == 0 {
        return Ok(());
    }
    let entry = audit::Entry::new(Operation::Change, actor)
        .container(id)
        .config(serde_json::json!({ "container_allowlist": "disallow" }));
    audit::write(connection, entry).await
}
