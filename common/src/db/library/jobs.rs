//! Job templates: what a launch can name.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::JobId,
    spec::{DirectiveType, JobScope, JobSpec},
};
use serde_json::Value;
use sqlx::types::Json;

use crate::db::{Col, Conn, Error, runs::After};

/// A job template.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
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
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
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
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The job templates with these keys or aliases, active or not. None of them can be deleted before the caller's
/// transaction ends.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn jobs_named(connection: &mut Conn, names: &[String]) -> Result<Vec<JobTemplate>, Error> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version,
             created_at, updated_at
           from jobs where task_key = any($1) or aliases && $1 order by task_key for key share"#,
        names,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Which jobs to list. What is not set does not filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub active: Option<bool>,
}

/// Up to `limit` job templates in the order in which they were made, from the one after `after` on.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn jobs(
    connection: &mut Conn,
    filter: JobFilter,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<JobTemplate>, Error> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version,
             created_at, updated_at
           from jobs
           where ($1::boolean is null or active = $1) and ($2::timestamptz is null or (created_at, id) > ($2, $3))
           order by created_at, id limit $4"#,
        filter.active,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The job template of this key or alias, active or not.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn job(connection: &mut Conn, name: &str) -> Result<Option<JobTemplate>, Error> {
    let row = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version,
             created_at, updated_at
           from jobs where id = (select job_id from job_names where name = $1)"#,
        name,
    )
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The same, which nobody else changes or begins to refer to before the caller's transaction ends.
///
/// # Errors
/// When the database can't be read, or a specification in it.
pub async fn lock_job(connection: &mut Conn, name: &str) -> Result<Option<JobTemplate>, Error> {
    let row = sqlx::query_as!(
        JobRow,
        r#"select id, task_key, aliases, name, description, scope as "scope: Col<JobScope>",
             default_directive as "default_directive: Col<DirectiveType>", spec, active, builtin, version,
             created_at, updated_at
           from jobs where id = (select job_id from job_names where name = $1) for update"#,
        name,
    )
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// What a job is from now on.
#[derive(Debug, Clone, Copy)]
pub struct JobContent<'a> {
    pub aliases: &'a [String],
    pub name: &'a str,
    pub description: &'a str,
    pub scope: JobScope,
    pub default_directive: DirectiveType,
    pub spec: &'a JobSpec,
    pub active: bool,
}

/// Stores a new job template under the key of its specification.
///
/// # Errors
/// When the database refuses: constraint `jobs_task_key_unique` or `job_names_pkey` if one of its names is taken.
pub async fn insert_job(connection: &mut Conn, id: JobId, job: JobContent<'_>) -> Result<(), Error> {
    sqlx::query!(
        "insert into jobs (id, task_key, aliases, name, description, scope, default_directive, spec, active, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, nextval('library_versions')::integer)",
        id.uuid(),
        job.spec.task_key,
        job.aliases,
        job.name,
        job.description,
        job.scope.as_str(),
        job.default_directive.as_str(),
        Json(job.spec) as _,
        job.active,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes a locked job template; its key stays.
///
/// # Errors
/// When the database refuses: constraint `job_names_pkey` if one of its names is taken.
pub async fn update_job(connection: &mut Conn, id: JobId, job: JobContent<'_>) -> Result<(), Error> {
    sqlx::query!(
        "update jobs set aliases = $2, name = $3, description = $4, scope = $5, default_directive = $6, spec = $7,
             active = $8, version = nextval('library_versions')::integer, updated_at = now()
         where id = $1",
        id.uuid(),
        job.aliases,
        job.name,
        job.description,
        job.scope.as_str(),
        job.default_directive.as_str(),
        Json(job.spec) as _,
        job.active,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a RunJob was made of it, or a directive lists it.
///
/// # Errors
/// When the database can't be read.
pub async fn is_job_referenced(connection: &mut Conn, job: &JobTemplate) -> Result<bool, Error> {
    let referenced = sqlx::query_scalar!(
        r#"select exists (select 1 from run_jobs where task_key = $1 and job_id = $2)
             or exists (select 1 from directives where superseded_at is null and $1 = any(task_list)) as "referenced!""#,
        job.task_key,
        job.id.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(referenced)
}

/// Deletes a job template that nothing refers to.
///
/// # Errors
/// When the database refuses.
pub async fn delete_job(connection: &mut Conn, id: JobId) -> Result<(), Error> {
    sqlx::query!("delete from jobs where id = $1", id.uuid()).execute(connection).await?;
    Ok(())
}

/// Keys of the jobs that have these names, as keys or aliases: `(name, key)`. None of them can be deleted before the
/// caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn job_keys(connection: &mut Conn, names: &[String]) -> Result<Vec<(String, String)>, Error> {
    let rows = sqlx::query!(
        "select task_key, aliases from jobs where task_key = any($1) or aliases && $1 order by task_key
         for key share",
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
