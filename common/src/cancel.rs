//! Cancelling: the one way a person stops a Run or a RunJob.
//!
//! What nobody has taken yet ends at once; a running worker is told through its launcher's next contact, gets SIGTERM,
//! its grace and SIGKILL. Guarantees: repeating it changes nothing; every request is audited with who made it.
//! Deliberately absent: waiting until the workers are gone.

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{AttemptId, RunId, RunJobId},
    lifecycle::{AttemptState, Event, Refusal, RunJobStatus, RunStatus},
};
use sqlx::Connection as _;

use crate::db::{
    Conn, Error,
    audit::{self, Entry},
    run_jobs,
    runs::{self, CancelNoted},
    transition::{Step, StepError, transition_all},
    workers,
};

/// RunJobs that one batch of statements ends.
const BATCH: usize = 1_000;

/// What a request to cancel a Run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCancel {
    /// It is noted, now or before; the Run ends when its last worker has.
    Noted,
    /// It had ended before; nothing was written.
    AlreadyEnded(RunStatus),
}

/// What a request to cancel a RunJob came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunJobCancel {
    /// It is noted, now or before.
    Noted,
    /// It had ended before; nothing was written.
    AlreadyEnded(RunJobStatus),
}

/// Cancels a Run: one transaction over the Run and all its unfinished RunJobs.
///
/// # Errors
/// [`Error::NotFound`] for an unknown Run, or a database error; nothing is changed then.
pub async fn cancel_run(connection: &mut Conn, run: RunId, actor: &Actor) -> Result<RunCancel, Error> {
    let mut tx = connection.begin().await?;
    let noted = runs::note_cancel(&mut tx, run)
        .await?
        .ok_or_else(|| Error::NotFound { what: "run", id: run.to_string() })?;
    match noted {
        CancelNoted::AlreadyEnded(status) => return Ok(RunCancel::AlreadyEnded(status)),
        CancelNoted::New => audit::write(&mut tx, Entry::new(Operation::Cancel, actor).run(run)).await?,
        CancelNoted::Before => {}
    }
    let open = runs::cancellable_run_jobs(&mut tx, run).await?;
    for ids in open.chunks(BATCH) {
        let steps: Vec<Step> = ids.iter().map(|id| Step::new(*id, Event::Cancel)).collect();
        // One that ended in the meantime is refused, and that is what was wanted.
        transition_all(&mut tx, &steps, actor).await?;
    }
    tx.commit().await?;
    tracing::info!(run.id = %run, run_jobs = open.len(), actor = %actor, "run cancelled");
    Ok(RunCancel::Noted)
}

/// Cancels one RunJob; the others of its Run go on.
///
/// # Errors
/// [`Error::NotFound`] for an unknown RunJob, or a database error; nothing is changed then.
pub async fn cancel_run_job(
    connection: &mut Conn,
    run_job: RunJobId,
    actor: &Actor,
) -> Result<RunJobCancel, Error> {
    let mut tx = connection.begin().await?;
    let cancelled = note(&mut tx, run_job, actor).await?;
    if cancelled == Noted::New {
        tx.commit().await?;
        tracing::info!(run_job.id = %run_job, actor = %actor, "run job cancelled");
    }
    Ok(cancelled.into())
}

/// What [`note`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    New,
    Before,
    AlreadyEnded(RunJobStatus),
}

impl From<Noted> for RunJobCancel {
    fn from(noted: Noted) -> Self {
        match noted {
            Noted::New | Noted::Before => Self::Noted,
            Noted::AlreadyEnded(status) => Self::AlreadyEnded(status),
        }
    }
}

async fn note(tx: &mut Conn, run_job: RunJobId, actor: &Actor) -> Result<Noted, Error> {
    let not_found = || Error::NotFound { what: "run job", id: run_job.to_string() };
    if run_jobs::lock_cancel_requested(tx, run_job).await?.ok_or_else(not_found)? {
        return Ok(Noted::Before);
    }
    let outcomes = transition_all(tx, &[Step::new(run_job, Event::Cancel)], actor).await?;
    match outcomes.into_iter().next() {
        Some(Ok(_)) => Ok(Noted::New),
        Some(Err(StepError::Refused(Refusal::AlreadyEnded { status }))) => Ok(Noted::AlreadyEnded(status)),
        Some(Err(StepError::Refused(refusal))) => Err(Error::Refused(refusal)),
        Some(Err(StepError::Unknown)) | None => Err(not_found()),
    }
}

/// What a request to stop a worker came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStop {
    /// Its RunJob is being cancelled, now or before.
    Noted,
    /// The attempt was over before; nothing was written.
    Over(AttemptState),
}

/// Stops a worker: cancels its RunJob, if this attempt is the one that holds a place now.
///
/// # Errors
/// [`Error::NotFound`] for an unknown attempt, or a database error; nothing is changed then.
pub async fn stop_worker(
    connection: &mut Conn,
    attempt: AttemptId,
    actor: &Actor,
) -> Result<WorkerStop, Error> {
    let not_found = || Error::NotFound { what: "worker", id: attempt.to_string() };
    let mut tx = connection.begin().await?;
    let run_job = workers::run_job_of(&mut tx, attempt).await?.ok_or_else(not_found)?;
    // Under the RunJob's lock no attempt of it changes its state.
    run_jobs::lock_cancel_requested(&mut tx, run_job).await?;
    let state = workers::state_of(&mut tx, attempt).await?.ok_or_else(not_found)?;
    if !state.is_open() {
        return Ok(WorkerStop::Over(state));
    }
    if note(&mut tx, run_job, actor).await? == Noted::New {
        tx.commit().await?;
        tracing::info!(attempt.id = %attempt, run_job.id = %run_job, actor = %actor, "worker to be stopped");
    }
    Ok(WorkerStop::Noted)
}
