//! Directives: one row per version. The current version of a name is the one that nothing superseded.

use std::fmt;

use chrono::{DateTime, Utc};
use cyberbrain_core::{ids::DirectiveId, run::DirectiveSnapshot, spec::DirectiveType};
use serde_json::Value;

use crate::db::{Col, Conn, Error, runs::After};

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

/// One version of a directive.
#[derive(Debug, Clone)]
pub struct Directive {
    pub snapshot: DirectiveSnapshot<Value>,
    pub active: bool,
    pub builtin: bool,
    pub created_at: DateTime<Utc>,
    /// When a newer version took its place.
    pub superseded_at: Option<DateTime<Utc>>,
}

/// Which directives to list. What is not set does not filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectiveFilter {
    pub active: Option<bool>,
    pub kind: Option<DirectiveType>,
}

struct Row {
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
    created_at: DateTime<Utc>,
    superseded_at: Option<DateTime<Utc>>,
}

impl From<Row> for Directive {
    fn from(row: Row) -> Self {
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
            created_at: row.created_at,
            superseded_at: row.superseded_at,
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
        Row,
        r#"select id, directive_type as "directive_type: Col<DirectiveType>", name, version, description,
             directive_text, task_config, task_list, approval_required, max_concurrent_runs, active, builtin,
             created_at, superseded_at
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

/// A directive in the list, with the place that it has had since its first version.
#[derive(Debug, Clone)]
pub struct ListedDirective {
    pub directive: Directive,
    pub place: After,
}

/// The current version of up to `limit` directives, in the order in which their names came to be, from the one after
/// `after` on. An edit moves nothing.
///
/// # Errors
/// When the database can't be read.
pub async fn directives(
    connection: &mut Conn,
    filter: DirectiveFilter,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<ListedDirective>, Error> {
    let rows = sqlx::query!(
        r#"select d.id, d.directive_type as "directive_type: Col<DirectiveType>", d.name, d.version, d.description,
             d.directive_text, d.task_config, d.task_list, d.approval_required, d.max_concurrent_runs, d.active,
             d.builtin, d.created_at, d.superseded_at, f.id as first_id, f.created_at as first_created_at
           from directives d join directives f on f.name = d.name and f.version = 1
           where d.superseded_at is null
             and ($1::boolean is null or d.active = $1) and ($2::text is null or d.directive_type = $2)
             and ($3::timestamptz is null or (f.created_at, f.id) > ($3, $4))
           order by f.created_at, f.id limit $5"#,
        filter.active,
        filter.kind.map(DirectiveType::as_str),
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| ListedDirective {
        place: After { created_at: row.first_created_at, id: row.first_id },
        directive: Row {
            id: row.id,
            directive_type: row.directive_type,
            name: row.name,
            version: row.version,
            description: row.description,
            directive_text: row.directive_text,
            task_config: row.task_config,
            task_list: row.task_list,
            approval_required: row.approval_required,
            max_concurrent_runs: row.max_concurrent_runs,
            active: row.active,
            builtin: row.builtin,
            created_at: row.created_at,
            superseded_at: row.superseded_at,
        }
        .into(),
    });
    Ok(rows.collect())
}

/// Up to `limit` versions of the directive of this name, newest first, from the one after `after` on.
///
/// # Errors
/// When the database can't be read.
pub async fn directive_versions(
    connection: &mut Conn,
    name: &str,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Directive>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, directive_type as "directive_type: Col<DirectiveType>", name, version, description,
             directive_text, task_config, task_list, approval_required, max_concurrent_runs, active, builtin,
             created_at, superseded_at
           from directives
           where name = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3))
           order by created_at desc, id desc limit $4"#,
        name,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Lets one edit at a time look at the directive of this name and change it. Read it again afterwards.
///
/// # Errors
/// A database error.
pub async fn lock_directive(connection: &mut Conn, name: &str) -> Result<(), Error> {
    sqlx::query!(
        "select id from directives where name = $1 order by version limit 1 for no key update",
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// A version to be.
#[derive(Debug, Clone, Copy)]
pub struct NewDirective<'a> {
    pub snapshot: &'a DirectiveSnapshot<Value>,
    pub active: bool,
    pub builtin: bool,
    /// When the version before it was made; this one counts as made later, whatever the clock did.
    pub made_after: Option<DateTime<Utc>>,
}

/// Stores a version; returns when. The one before it must be superseded by then.
///
/// # Errors
/// When the database refuses: constraint `directives_name_version_unique` if there is such a version.
pub async fn insert_directive(
    connection: &mut Conn,
    directive: NewDirective<'_>,
) -> Result<DateTime<Utc>, Error> {
    let snapshot = directive.snapshot;
    let created_at = sqlx::query_scalar!(
        "insert into directives (id, directive_type, name, version, description, directive_text, task_config,
             task_list, approval_required, max_concurrent_runs, active, builtin, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
             greatest(clock_timestamp(), $13::timestamptz + interval '1 microsecond'))
         returning created_at",
        snapshot.id.uuid(),
        snapshot.kind.as_str(),
        snapshot.name,
        snapshot.version.cast_signed(),
        snapshot.description,
        snapshot.text,
        snapshot.task_config,
        &snapshot.task_list,
        snapshot.approval_required,
        snapshot.max_concurrent_runs.map(u32::cast_signed),
        directive.active,
        directive.builtin,
        directive.made_after,
    )
    .fetch_one(connection)
    .await?;
    Ok(created_at)
}

/// Notes that a newer version takes the place of this one.
///
/// # Errors
/// When the database refuses.
pub async fn supersede_directive(connection: &mut Conn, directive: DirectiveId) -> Result<(), Error> {
    sqlx::query!("update directives set superseded_at = clock_timestamp() where id = $1", directive.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
