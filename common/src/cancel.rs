//! Cancelling: the one way a person stops a Run or a RunJob.
//!
//! What nobody has taken yet ends at once; a running worker is told through its launcher's next contact, gets SIGTERM,
//! its grace and SIGKILL. Guarantees: repeating it changes nothing; every request is audited with who made it.
//! Deliberately absent: waiting until the workers are gone.

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{RunId, RunJobId},
    lifecycle::{Event, Refusal, RunJobStatus, RunStatus},
};
use sqlx::Connection as _;

use crate::db::{
    Conn, Error,
    audit::{self, Entry},
    run_jobs,
    runs::{self, CancelNoted},
    transition::{Step, StepError, transition_all},
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
    let not_found = || Error::NotFound { what: "run job", id: run_job.to_string() };
    if run_jobs::lock_cancel_requested(&mut tx, run_job).await?.ok_or_else(not_found)? {
        return Ok(RunJobCancel::Noted);
    }
    let outcomes = transition_all(&mut tx, &[Step::new(run_job, Event::Cancel)], actor).await?;
    match outcomes.into_iter().next() {
        Some(Ok(_)) => {}
        Some(Err(StepError::Refused(Refusal::AlreadyEnded { status }))) => {
            return Ok(RunJobCancel::AlreadyEnded(status));
        }
        Some(Err(StepError::Refused(refusal))) => return Err(Error::Refused(refusal)),
        Some(Err(StepError::Unknown)) | None => return Err(not_found()),
    }
    tx.commit().await?;
    tracing::info!(run_job.id = %run_job, actor = %actor, "run job cancelled");
    Ok(RunJobCancel::Noted)
}
