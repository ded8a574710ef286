//! The library: directives, job templates and the worker image allowlist.

use std::fmt;

use cyberbrain_core::{
    ids::{DirectiveId, JobId},
    run::DirectiveSnapshot,
    spec::{DirectiveType, ImageRef, JobScope, JobSpec},
};
use serde_json::Value;

use super::{Col, Conn, Error};

/// The most rows of one kind that are listed.
const MAX_LISTED: i64 = 1_000;

/// How a launch names its directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectiveName {
    /// The current built-in one of this type.
    Builtin(DirectiveType),
    /// The current one of this name.
    Named(String),
}

impl DirectiveName {
    /// `D1` … `D4` are types, every other text is a name.
    #[must_use]
    pub fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Named(text.to_owned()), Self::Builtin)
    }
}

impl fmt::Display for DirectiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(kind) => kind.fmt(f),
            Self::Named(name) => write!(f, "{name:?}"),
        }
    }
}

/// A current directive.
#[derive(Debug, Clone)]
pub struct Directive {
    pub snapshot: DirectiveSnapshot<Value>,
    pub active: bool,
    pub builtin: bool,
}

/// A job template.
#[derive(Debug, Clone)]
pub struct JobTemplate {
    pub id: JobId,
    pub task_key: String,
    pub aliases: Vec<String>,
    pub name: String,
    pub description: String,
    pub scope: JobScope,
    pub default_directive: DirectiveType,
    pub spec: JobSpec,
    pub active: bool,
    pub builtin: bool,
    pub version: i32,
}

impl JobTemplate {
    /// Whether `name` is its key or one of its aliases.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.task_key == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// A row of the worker image allowlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedImage {
    pub image: ImageRef,
    pub active: bool,
    pub requires_gpu: bool,
    /// VRAM that it needs on each card.
    pub min_vram_mib: Option<u32>,
}

struct DirectiveRow {
    id: uuid::Uuid,
    directive_type: Col<DirectiveType>,
    name: String,
    version: i32,
    description: String,
    directive_text: String,
    task_config: Value,
    task_list: Vec<String>,
    approval_required: bool,
    max_concurrent_runs: Option<i32>,
    active: bool,
    builtin: bool,
}

impl From<DirectiveRow> for Directive {
    fn from(row: DirectiveRow) -> Self {
        Self {
            snapshot: DirectiveSnapshot {
                id: DirectiveId::from(row.id),
                kind: row.directive_type.0,
                name: row.name,
                version: row.version.unsigned_abs(),
                description: row.description,
                text: row.directive_text,
                task_config: row.task_config,
                task_list: row.task_list,
                approval_required: row.approval_required,
                max_concurrent_runs: row.max_concurrent_runs.map(i32::unsigned_abs),
            },
            active: row.active,
            builtin: row.builtin,
        }
    }
}

/// The current version of a directive, active or not.
///
/// # Errors
/// When the database can't be read.
pub async fn directive(connection: &mut Conn, name: &DirectiveName) -> Result<Option<Directive>, Error> {
    let (kind, name) = match name {
        DirectiveName::Builtin(kind) => (Some(kind.as_str()), None),
        DirectiveName::Named(name) => (None, Some(name.as_str())),
    };
    let row = sqlx::query_as!(
        DirectiveRow,
        r#"select id, directive_type as "directive_type: Col<DirectiveType>", name, version, description,
             directive_text, task_config, task_list, approval_required, max_concurrent_runs, active, builtin
           from directives
           where superseded_at is null and (name = $1 or (builtin and directive_type = $2))
           order by created_at limit 1"#,
        name,
        kind,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// The current version of every directive, built-in ones first.
///
/// # Errors
/// When the database can't be read.
pub async fn directives(connection: &mut Conn) -> Result<Vec<Directive>, Error> {
    let rows = sqlx::query_as!(
        DirectiveRow,
        r#"select id, directive_type as "directive_type: Col<DirectiveType>", name, version, description,
             directive_text, task_config, task_list, approval_required, max_concurrent_runs, active, builtin
           from directives where superseded_at is null order by not builtin, directive_type, name limit $1"#,
        MAX_LISTED,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

struct JobRow {
    id: uuid::Uuid,
    task_key: String,
    aliases: Vec<String>,
    name: String,
    description: String,
    scope: Col<JobScope>,
    default_directive: Col<DirectiveType>,
    spec: Value,
    active: bool,
    builtin: bool,
    version: i32,
}

impl TryFrom<JobRow> for JobTemplate {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let spec = serde_json::from_value(row.spec)
            .map_err(|source| Error::Malformed { what: "job specification", source })?;
        Ok(Self {
            id: row.id.into(),
            task_key: row.task_key,
            aliases: row.aliases,
            name: row.name,
            description: row.description,
            scope: row.scope.0,
            default_directive: row.default_directive.0,
            spec,
            active: row.active,
            builtin: row.builtin,
            version: row.version,
        })
    }
}

/// The job templates with these keys or aliases, active or not.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn jobs_named(connection: &mut Conn, names: &[String]) -> Result<Vec<JobTemplate>, Error> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version
           from jobs where task_key = any($1) or aliases && $1 order by task_key"#,
        names,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Every job template, built-in ones first.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn jobs(connection: &mut Conn) -> Result<Vec<JobTemplate>, Error> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version
           from jobs order by not builtin, task_key limit $1"#,
        MAX_LISTED,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The allowlist rows of these images, active or not.
///
/// # Errors
/// When the database can't be read.
pub async fn allowed_images(connection: &mut Conn, images: &[ImageRef]) -> Result<Vec<AllowedImage>, Error> {
    let (names, tags): (Vec<String>, Vec<String>) =
        images.iter().map(|image| (image.name.clone(), image.tag.clone())).unzip();
    let rows = sqlx::query!(
        "select name, tag, active, requires_gpu, min_vram_mib from worker_image_allowlist
         where (name, tag) in (select * from unnest($1::text[], $2::text[]))",
        &names,
        &tags,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| AllowedImage {
        image: ImageRef { name: row.name, tag: row.tag },
        active: row.active,
        requires_gpu: row.requires_gpu,
        min_vram_mib: row.min_vram_mib.map(i32::unsigned_abs),
    });
    Ok(rows.collect())
}
