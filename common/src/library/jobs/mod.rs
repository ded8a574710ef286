//! Job templates: made, edited in place, switched off or deleted.
//!
//! RunJobs keep the specification that they were launched with, so an edit changes none of them. What a RunJob or a
//! directive refers to is switched off instead of deleted. An image need not be on the allowlist to be named here: the
//! launch looks.

mod request;
mod settings;

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::JobId,
    spec::JobSpec,
};
use serde_json::json;
use sqlx::Connection as _;

use super::{
    Conflict, Error, Expected,
    check::{check_text, limit},
};
use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        library::{self as stored, JobContent, JobTemplate},
    },
    ids::fresh,
    launch::{
        check::check_line,
        limit as launch_limit,
        problem::{Pointer, Problems},
    },
};

pub use request::{JobChange, JobSettings, NewJob, ResourceSettings, RetrySettings, TimeoutSettings};

/// What came of a deletion.
#[derive(Debug, Clone)]
pub enum JobDeletion {
    Deleted,
    /// Something refers to it; it is off now.
    SwitchedOff(Box<JobTemplate>),
}

/// Makes a job template.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn create(connection: &mut Conn, request: &NewJob, actor: &Actor) -> Result<JobTemplate, Error> {
    let mut problems = Problems::default();
    let root = Pointer::Root;
    if !is_key(&request.job) {
        problems.add(&root.key("job"), KEY_FORM);
    }
    check_aliases(&request.job, &request.aliases, &mut problems);
    check_line(&request.name, launch_limit::NAME_CHARACTERS, &root.key("name"), &mut problems);
    let description = Some(&request.description);
    check_text(description, limit::DESCRIPTION_CHARACTERS, &root.key("description"), &mut problems);
    let at = root.key("spec");
    if request.spec.image.is_none() {
        problems.add(&at.key("image"), "it must be there: the worker's image, as name:tag");
    }
    let spec = settings::apply(&request.spec, &settings::blank(&request.job), &at, &mut problems);
    settings::check_scope(request.scope, &spec, &at, &mut problems);
    problems.finish().map_err(Error::Invalid)?;
    let content = JobContent {
        aliases: &request.aliases,
        name: &request.name,
        description: &request.description,
        scope: request.scope,
        default_directive: request.default_directive,
        spec: &spec,
        active: true,
    };
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let id: JobId = fresh();
    stored::insert_job(&mut tx, id, content).await.map_err(taken)?;
    let made = note(&mut tx, &spec, "created", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(made)
}

/// Edits a job template. A change that changes nothing makes no version.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn edit(
    connection: &mut Conn,
    name: &str,
    expected: &Expected,
    change: &JobChange,
    actor: &Actor,
) -> Result<JobTemplate, Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, name, expected).await?;
    let mut problems = Problems::default();
    let edited = changed(&current, change, &mut problems);
    problems.finish().map_err(Error::Invalid)?;
    if edited == current {
        return Ok(current);
    }
    stored::update_job(&mut tx, current.id, content(&edited)).await.map_err(taken)?;
    let edited = note(&mut tx, &edited.spec, "edited", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(edited)
}

/// Deletes a job template, or switches it off where something refers to it.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn delete(
    connection: &mut Conn,
    name: &str,
    expected: &Expected,
    actor: &Actor,
) -> Result<JobDeletion, Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, name, expected).await?;
    if current.builtin {
        return Err(Conflict::JobBuiltin { job: current.task_key }.into());
    }
    if !stored::is_job_referenced(&mut tx, &current).await? {
        stored::delete_job(&mut tx, current.id).await?;
        let told = json!({ "job": current.task_key, "version": current.version, "change": "deleted" });
        audit::write(&mut tx, Entry::new(Operation::Change, actor).config(told)).await?;
        tx.commit().await.map_err(db::Error::from)?;
        return Ok(JobDeletion::Deleted);
    }
    if !current.active {
        return Ok(JobDeletion::SwitchedOff(Box::new(current)));
    }
    let off = JobContent { active: false, ..content(&current) };
    stored::update_job(&mut tx, current.id, off).await?;
    let off = note(&mut tx, &current.spec, "switched off", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(JobDeletion::SwitchedOff(Box::new(off)))
}

async fn locked(tx: &mut Conn, name: &str, expected: &Expected) -> Result<JobTemplate, Error> {
    let current = stored::lock_job(tx, name).await?;
    let current = current.ok_or_else(|| Error::Unknown { what: "job", name: format!("{name:?}") })?;
    expected.check(current.version.unsigned_abs())?;
    Ok(current)
}

/// What a job is after a change, as far as the change says.
fn changed(current: &JobTemplate, change: &JobChange, problems: &mut Problems) -> JobTemplate {
    let root = Pointer::Root;
    let mut job = current.clone();
    if let Some(aliases) = &change.aliases {
        check_aliases(&current.task_key, aliases, problems);
        job.aliases.clone_from(aliases);
    }
    if let Some(name) = &change.name {
        check_line(name, launch_limit::NAME_CHARACTERS, &root.key("name"), problems);
        job.name.clone_from(name);
    }
    if let Some(description) = &change.description {
        let at = root.key("description");
        check_text(Some(description), limit::DESCRIPTION_CHARACTERS, &at, problems);
        job.description.clone_from(description);
    }
    job.scope = change.scope.unwrap_or(job.scope);
    job.default_directive = change.default_directive.unwrap_or(job.default_directive);
    job.active = change.active.unwrap_or(job.active);
    let at = root.key("spec");
    if let Some(settings) = &change.spec {
        job.spec = settings::apply(settings, &job.spec, &at, problems);
        if current.builtin {
            check_builtin(&current.spec, &job.spec, &at, problems);
        }
    }
    settings::check_scope(job.scope, &job.spec, &at, problems);
    job
}

/// What makes a built-in job the one that it is.
fn check_builtin(was: &JobSpec, is: &JobSpec, at: &Pointer<'_>, problems: &mut Problems) {
    let told = "it is part of a built-in job and stays; make a job of your own";
    if is.image != was.image {
        problems.add(&at.key("image"), told);
    }
    if is.command != was.command {
        problems.add(&at.key("command"), told);
    }
    if is.output.is_some() {
        problems.add(&at.key("output"), "a built-in job has a result of its own kind; leave it out");
    }
}

fn content(job: &JobTemplate) -> JobContent<'_> {
    JobContent {
        aliases: &job.aliases,
        name: &job.name,
        description: &job.description,
        scope: job.scope,
        default_directive: job.default_directive,
        spec: &job.spec,
        active: job.active,
    }
}

const KEY_FORM: &str = "it begins with a letter and has up to 50 of a to z, 0 to 9 and _";

/// As the database takes it.
fn is_key(text: &str) -> bool {
    text.len() <= launch_limit::JOB_CHARACTERS
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn check_aliases(key: &str, aliases: &[String], problems: &mut Problems) {
    let root = Pointer::Root;
    let at = root.key("aliases");
    if aliases.len() > limit::ALIASES {
        problems.add(&at, format!("there are {} aliases; {} at most", aliases.len(), limit::ALIASES));
        return;
    }
    for (index, alias) in aliases.iter().enumerate() {
        if !is_key(alias) {
            problems.add(&at.index(index), KEY_FORM);
        } else if alias == key || aliases[..index].contains(alias) {
            problems.add(&at.index(index), format!("{alias:?} is a name of this job already"));
        }
    }
}

fn taken(error: db::Error) -> Error {
    match error.constraint() {
        Some("jobs_task_key_unique" | "job_names_pkey") => Conflict::JobNameTaken.into(),
        Some(_) | None => error.into(),
    }
}

/// Writes the audit row, and gives the job as it is now.
async fn note(
    tx: &mut Conn,
    spec: &JobSpec,
    change: &'static str,
    actor: &Actor,
) -> Result<JobTemplate, Error> {
    let job = stored::job(tx, &spec.task_key).await?;
    let unknown = || Error::Unknown { what: "job", name: spec.task_key.clone() };
    let job = job.ok_or_else(unknown)?;
    let told = json!({ "job": job.task_key, "version": job.version, "change": change });
    let entry = Entry::new(Operation::Change, actor).image(spec.image.to_string()).config(told);
    audit::write(tx, entry).await?;
    Ok(job)
}
