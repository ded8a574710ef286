//! The container allowlist: entries made, changed, switched off and removed.
//!
//! An entry covers a container by its id, the beginning of it, or its name; it need not exist. Whose logs a job reads is
//! decided by its launcher when it stages them, so a change counts from the next staging on.

use cyberbrain_core::audit::{Actor, Operation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection as _;
use utoipa::ToSchema;

use super::{
    Conflict, Error, Expected,
    check::{check_text, limit},
};
use crate::{
    db::{
        self, Conn,
        allowlist::{self as stored, Content, Entry as Listed},
        audit::{self, Entry},
    },
    launch::{
        check::{check_line, check_tags},
        describe::{
            container_key, free_text, host_or_all, lines, optional_free_text, optional_host_or_all,
            optional_lines,
        },
        limit as launch_limit,
        object::object_only,
        problem::{Pointer, Problems},
    },
};

/// Every host.
const ALL_HOSTS: &str = "*";

/// An entry to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NewAllowedContainer {
    /// The engine's id of a container, the beginning of it (12 characters or more), or its name. The entry goes by it.
    #[schema(schema_with = container_key)]
    pub container_id: String,
    /// A recreated container of this name stays covered.
    #[serde(default)]
    #[schema(schema_with = free_text::<{ limit::CONTAINER_NAME_CHARACTERS }>)]
    pub container_name: String,
    /// Name of a host, or `*` for all, which it is without it.
    #[serde(default = "all_hosts")]
    #[schema(schema_with = host_or_all)]
    pub host: String,
    #[serde(default)]
    #[schema(schema_with = free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: String,
    #[serde(default)]
    #[schema(schema_with = lines::<{ launch_limit::TAGS }, { launch_limit::TAG_CHARACTERS }>)]
    pub tags: Vec<String>,
}

fn all_hosts() -> String {
    ALL_HOSTS.to_owned()
}

/// A change of an entry. What is left out or null stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AllowedContainerChange {
    /// Whether its logs may be read.
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ limit::CONTAINER_NAME_CHARACTERS }>)]
    pub container_name: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_host_or_all)]
    pub host: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_lines::<{ launch_limit::TAGS }, { launch_limit::TAG_CHARACTERS }>)]
    pub tags: Option<Vec<String>>,
}

object_only!(NewAllowedContainer, AllowedContainerChange);

/// Adds an entry.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn add(
    connection: &mut Conn,
    request: &NewAllowedContainer,
    actor: &Actor,
) -> Result<Listed, Error> {
    let mut problems = Problems::default();
    let root = Pointer::Root;
    if !is_key(&request.container_id) {
        problems.add(
            &root.key("container_id"),
            "it is no id or name of a container: up to 255 letters, digits and _ . -, beginning with a letter or digit",
        );
    }
    let content = Content {
        container_name: request.container_name.clone(),
        host: request.host.clone(),
        description: request.description.clone(),
        tags: request.tags.clone(),
        enabled: true,
    };
    check_content(&content, &mut problems);
    problems.finish().map_err(Error::Invalid)?;
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let added = stored::insert(&mut tx, &request.container_id, &content).await?;
    let id = || request.container_id.clone();
    let added = added.ok_or_else(|| Conflict::ContainerListed { id: id() })?;
    note(&mut tx, &added, "added", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(added)
}

/// Changes an entry. A change that changes nothing makes no version.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn edit(
    connection: &mut Conn,
    id: &str,
    expected: &Expected,
    change: &AllowedContainerChange,
    actor: &Actor,
) -> Result<Listed, Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, id, expected).await?;
    let was = current.content.clone();
    let is = Content {
        container_name: change.container_name.clone().unwrap_or(was.container_name),
        host: change.host.clone().unwrap_or(was.host),
        description: change.description.clone().unwrap_or(was.description),
        tags: change.tags.clone().unwrap_or(was.tags),
        enabled: change.enabled.unwrap_or(was.enabled),
    };
    let mut problems = Problems::default();
    check_content(&is, &mut problems);
    problems.finish().map_err(Error::Invalid)?;
    if is == current.content {
        return Ok(current);
    }
    let edited = stored::update(&mut tx, id, &is).await?;
    note(&mut tx, &edited, "edited", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(edited)
}

/// Removes an entry.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn remove(
    connection: &mut Conn,
    id: &str,
    expected: &Expected,
    actor: &Actor,
) -> Result<(), Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, id, expected).await?;
    stored::delete(&mut tx, id).await?;
    note(&mut tx, &current, "removed", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(())
}

async fn locked(tx: &mut Conn, id: &str, expected: &Expected) -> Result<Listed, Error> {
    let unknown = || Error::Unknown { what: "entry for container", name: format!("{id:?}") };
    let current = stored::lock(tx, id).await?.ok_or_else(unknown)?;
    expected.check(current.version)?;
    Ok(current)
}

/// As the database takes it.
fn is_key(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 255 && text.starts_with(first) && text.chars().all(|c| first(c) || "_.-".contains(c))
}

fn check_content(content: &Content, problems: &mut Problems) {
    let root = Pointer::Root;
    if !content.container_name.is_empty() {
        let at = root.key("container_name");
        check_line(&content.container_name, limit::CONTAINER_NAME_CHARACTERS, &at, problems);
    }
    let host = &content.host;
    let is_host = host.len() <= limit::HOST_CHARACTERS
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if host != ALL_HOSTS && !is_host {
        problems.add(&root.key("host"), "it is no name of a host, and not * for all of them");
    }
    let description = Some(&content.description);
    check_text(description, limit::DESCRIPTION_CHARACTERS, &root.key("description"), problems);
    check_tags(&content.tags, &root.key("tags"), problems);
}

async fn note(tx: &mut Conn, entry: &Listed, change: &'static str, actor: &Actor) -> Result<(), db::Error> {
    let Content { container_name, host, enabled, .. } = &entry.content;
    let told = json!({
        "container_allowlist": change, "version": entry.version, "name": container_name, "host": host,
        "enabled": enabled,
    });
    let row = Entry::new(Operation::Change, actor).container(entry.container_id.as_str()).config(told);
    audit::write(tx, row).await
}
