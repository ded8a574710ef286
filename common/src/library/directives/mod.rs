//! Directives: made, edited into new versions, switched off.
//!
//! A name keeps all its versions; Runs keep the snapshot that they were launched with. Deleting switches off: what
//! somebody once launched with can always be looked up, and a name never means something else later.

mod request;

use cyberbrain_core::{
    audit::{Actor, Operation},
    run::DirectiveSnapshot,
};
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{Conflict, Error, Expected};
use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        library::{self as stored, Directive, DirectiveName},
    },
    ids::fresh,
    launch::problem::{Pointer, Problems},
};

pub use request::{DirectiveChange, NewDirective};

/// Makes a directive.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn create(
    connection: &mut Conn,
    request: &NewDirective,
    actor: &Actor,
) -> Result<Directive, Error> {
    let mut problems = Problems::default();
    request.check(&mut problems);
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let task_list = job_keys(&mut tx, &request.jobs, &mut problems).await?;
    problems.finish().map_err(Error::Invalid)?;
    let snapshot = DirectiveSnapshot {
        id: fresh(),
        kind: request.r#type,
        name: request.name.clone(),
        version: 1,
        description: request.description.clone(),
        text: request.text.clone(),
        task_config: Value::Object(request.config.as_map().clone()),
        task_list,
        approval_required: request.approval_required,
        max_concurrent_runs: request.max_concurrent_runs,
    };
    let new = stored::NewDirective { snapshot: &snapshot, active: true, builtin: false, made_after: None };
    let created_at =
        stored::insert_directive(&mut tx, new).await.map_err(|error| taken(error, &request.name))?;
    note(&mut tx, &snapshot, "created", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(Directive { snapshot, active: true, builtin: false, created_at, superseded_at: None })
}

fn taken(error: db::Error, name: &str) -> Error {
    match error.constraint() {
        Some("directives_name_version_unique" | "directives_current") => {
            Conflict::DirectiveExists { name: name.to_owned() }.into()
        }
        Some(_) | None => error.into(),
    }
}

/// Makes a new version of a directive. A change that changes nothing makes none.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn edit(
    connection: &mut Conn,
    name: &DirectiveName,
    expected: &Expected,
    change: &DirectiveChange,
    actor: &Actor,
) -> Result<Directive, Error> {
    let mut problems = Problems::default();
    change.check(&mut problems);
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, name, expected).await?;
    let task_list = match &change.jobs {
        None => current.snapshot.task_list.clone(),
        Some(jobs) => job_keys(&mut tx, jobs, &mut problems).await?,
    };
    problems.finish().map_err(Error::Invalid)?;
    let edited = apply(&current, change, task_list);
    if edited.snapshot == current.snapshot && edited.active == current.active {
        return Ok(current);
    }
    let edited = supersede(&mut tx, &current, edited, "edited", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(edited)
}

/// Switches a directive off, by a new version. It stays as it is if it was off before.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn deactivate(
    connection: &mut Conn,
    name: &DirectiveName,
    expected: &Expected,
    actor: &Actor,
) -> Result<Directive, Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, name, expected).await?;
    if current.builtin {
        return Err(Conflict::DirectiveBuiltin { name: current.snapshot.name }.into());
    }
    if !current.active {
        return Ok(current);
    }
    let off = Directive { active: false, ..current.clone() };
    let off = supersede(&mut tx, &current, off, "switched off", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(off)
}

/// The current version, which nobody else changes before the transaction ends.
async fn locked(tx: &mut Conn, name: &DirectiveName, expected: &Expected) -> Result<Directive, Error> {
    let unknown = || Error::Unknown { what: "directive", name: name.to_string() };
    let found = stored::directive(tx, name).await?.ok_or_else(unknown)?;
    stored::lock_directive(tx, &found.snapshot.name).await?;
    let found = DirectiveName::Named(found.snapshot.name);
    let current = stored::directive(tx, &found).await?.ok_or_else(unknown)?;
    expected.check(current.snapshot.version)?;
    Ok(current)
}

/// What a directive is after a change, as far as the change says.
fn apply(current: &Directive, change: &DirectiveChange, task_list: Vec<String>) -> Directive {
    let was = current.snapshot.clone();
    let config = change.config.as_ref().map(|config| Value::Object(config.as_map().clone()));
    Directive {
        snapshot: DirectiveSnapshot {
            description: change.description.clone().unwrap_or(was.description),
            text: change.text.clone().unwrap_or(was.text),
            task_config: config.unwrap_or(was.task_config),
            task_list,
            approval_required: change.approval_required.unwrap_or(was.approval_required),
            max_concurrent_runs: change.max_concurrent_runs.unwrap_or(was.max_concurrent_runs),
            ..was
        },
        active: change.active.unwrap_or(current.active),
        ..current.clone()
    }
}

/// Stores `edited` as the version after `current`.
async fn supersede(
    tx: &mut Conn,
    current: &Directive,
    mut edited: Directive,
    change: &'static str,
    actor: &Actor,
) -> Result<Directive, Error> {
    edited.snapshot.id = fresh();
    edited.snapshot.version = current.snapshot.version + 1;
    stored::supersede_directive(tx, current.snapshot.id).await?;
    let new = stored::NewDirective {
        snapshot: &edited.snapshot,
        active: edited.active,
        builtin: edited.builtin,
        made_after: Some(current.created_at),
    };
    edited.created_at = stored::insert_directive(tx, new).await?;
    note(tx, &edited.snapshot, change, actor).await?;
    Ok(edited)
}

/// Keys of the jobs of these names; what there is no job for is a problem.
async fn job_keys(tx: &mut Conn, names: &[String], problems: &mut Problems) -> Result<Vec<String>, Error> {
    if names.is_empty() || !problems.is_empty() {
        return Ok(Vec::new());
    }
    let known = stored::job_keys(tx, names).await?;
    let root = Pointer::Root;
    let list = root.key("jobs");
    let mut keys: Vec<String> = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let at = list.index(index);
        match known.iter().find(|(known, _)| known == name) {
            None => problems.add(&at, format!("there is no job {name:?}; GET /api/v1/jobs lists them")),
            Some((_, key)) if keys.contains(key) => {
                problems.add(&at, format!("job {key:?} is there twice"));
            }
            Some((_, key)) => keys.push(key.clone()),
        }
    }
    Ok(keys)
}

async fn note(
    tx: &mut Conn,
    snapshot: &DirectiveSnapshot<Value>,
    change: &'static str,
    actor: &Actor,
) -> Result<(), db::Error> {
    let told = json!({ "directive": snapshot.name, "version": snapshot.version, "change": change });
    audit::write(tx, Entry::new(Operation::Change, actor).config(told)).await
}
