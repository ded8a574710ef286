//! Job templates: what a launch can name.

use cyberbrain_core::{
    ids::JobId,
    spec::{DirectiveType, JobScope, JobSpec},
};
use serde_json::Value;

use crate::db::{Col, Conn, Error};

/// The most rows that are listed.
const MAX_LISTED: i64 = 1_000;

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

/// Keys of the jobs that have these names, as keys or aliases: `(name, key)`. None of them can be deleted before the
/// caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn job_keys(connection: &mut Conn, names: &[String]) -> Result<Vec<(String, String)>, Error> {
    let rows = sqlx::query!(
        "select task_key, aliases from jobs where task_key = any($1) or aliases && $1 order by id for key share",
        names,
    )
    .fetch_all(connection)
    .await?;
    let pairs = rows.into_iter().flat_map(|row| {
        let own = (row.task_key.clone(), row.task_key.clone());
        row.aliases.into_iter().map(move |alias| (alias, row.task_key.clone())).chain([own])
    });
    Ok(pairs.collect())
}
