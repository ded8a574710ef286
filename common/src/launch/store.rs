//! Writes what was planned: Run, RunJobs, audit and queue pushes, with a fixed number of statements.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{RunId, RunJobId},
    lifecycle::queue_deadline,
};
use serde_json::{Value, json};

use super::{
    Error,
    params::Params,
    plan::{Frozen, Plan},
};
use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        run_jobs::{self, NewFrozen, NewRunJob},
        runs::{self, NewRun, Origin},
    },
    ids::fresh,
    queue::{self, PlaceTask, RunTask},
};

/// What a Run is beside its plan.
pub(super) struct Header<'a> {
    pub params: &'a Params,
    pub priority: i32,
    pub tags: &'a [String],
    pub origin: Option<Origin>,
}

pub(super) async fn store(
    connection: &mut Conn,
    header: &Header<'_>,
    plan: &Plan,
    actor: &Actor,
) -> Result<RunId, Error> {
    let run = fresh::<RunId>();
    let submitter = submitter(actor);
    let created_at = runs::insert(
        connection,
        &NewRun {
            id: run,
            directive: &plan.directive,
            requested_by: submitter,
            priority: header.priority,
            tags: header.tags,
            params: header.params.as_map(),
            origin: header.origin,
        },
    )
    .await?;
    let ids: Vec<RunJobId> = plan.run_jobs.iter().map(|_| fresh()).collect();
    insert_run_jobs(connection, run, plan, &ids, submitter, created_at).await?;
    audit::write_all(connection, &entries(run, header.origin, plan, &ids, actor)).await?;
    queue::push(connection, &[RunTask::Admit(run)]).await.map_err(db::Error::from)?;
    queue::push(connection, &PlaceTask::for_all(&ids)).await.map_err(db::Error::from)?;
    Ok(run)
}

/// The name under which work is shared fairly and listed.
fn submitter(actor: &Actor) -> &str {
    match actor {
        Actor::Key(name) => name,
        Actor::System(role) => role,
    }
}

async fn insert_run_jobs(
    connection: &mut Conn,
    run: RunId,
    plan: &Plan,
    ids: &[RunJobId],
    submitter: &str,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let frozen: Vec<NewFrozen<'_>> = plan
        .frozen
        .iter()
        .enumerate()
        .map(|(number, frozen)| NewFrozen {
            number,
            job_id: frozen.job,
            task_key: &frozen.task_key,
            spec: &frozen.spec,
            shape: &frozen.shape,
            deadline_at: queue_deadline(frozen.spec.timeouts, now),
        })
        .collect();
    let rows: Vec<NewRunJob<'_>> = plan
        .run_jobs
        .iter()
        .zip(ids)
        .enumerate()
        .map(|(ordinal, (planned, id))| NewRunJob {
            id: *id,
            ordinal,
            frozen: planned.frozen,
            name: &planned.name,
            params: planned.params.as_map(),
            inputs: &planned.inputs,
            priority: planned.priority,
        })
        .collect();
    run_jobs::insert_all(connection, run, submitter, &frozen, &rows).await
}

fn entries(run: RunId, origin: Option<Origin>, plan: &Plan, ids: &[RunJobId], actor: &Actor) -> Vec<Entry> {
    let directive = &plan.directive;
    let summary = json!({
        "directive": directive.name,
        "directive_type": directive.kind,
        "directive_version": directive.version,
        "run_jobs": plan.run_jobs.len(),
        "origin": origin.map(|origin| json!({ "kind": origin.kind, "run": origin.run })),
    });
    let asked: Vec<Value> = plan.frozen.iter().map(asked).collect();
    let whole = Entry::new(Operation::Submit, actor).run(run).config(summary);
    let each = plan.run_jobs.iter().zip(ids).map(|(planned, id)| {
        Entry::new(Operation::Submit, actor)
            .run(run)
            .run_job(*id)
            .image(plan.frozen[planned.frozen].spec.image.to_string())
            .config(asked[planned.frozen].clone())
    });
    std::iter::once(whole).chain(each).collect()
}

/// What is asked for, in names and numbers.
fn asked(frozen: &Frozen) -> Value {
    json!({
        "job": frozen.task_key,
        "gpu": frozen.spec.gpu,
        "run_seconds": frozen.spec.timeouts.run_seconds,
    })
}
