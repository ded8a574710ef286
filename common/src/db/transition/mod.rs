//! The one way a RunJob changes: lock the rows, ask `core::lifecycle::next`, write what it says.
//!
//! In the caller's transaction: the RunJobs (locked in id order), their attempts, leases, the audit rows, and
//! the queue push that closes a Run whose last RunJob ended. A refusal writes nothing for that RunJob and does
//! not spoil the others. Deliberately absent: deciding what should happen; that is the caller's.

mod batch;
mod read;
mod write;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, Fence, GpuUuid, HostId, LauncherId, RunId, RunJobId},
    lifecycle::{AttemptState, Event, Refusal, RunJobStatus, Verdict},
    outcome::JobResult,
    text_enum,
};

use super::{Conn, Error};

text_enum! {
    /// What kind of place an attempt has.
    PlaceKind("placement") {
        Gpu = "gpu",
        Cpu = "cpu",
        /// A CPU place for a RunJob that would have used a GPU.
        CpuFallback = "cpu_fallback",
    }
}

/// A place for a RunJob: what goes with [`Event::Offer`].
#[derive(Debug, Clone)]
pub struct Place {
    pub attempt: AttemptId,
    pub host: HostId,
    pub kind: PlaceKind,
    /// Memory reserved on each card.
    pub gpus: Vec<(GpuUuid, u32)>,
    /// Why there; shown to users.
    pub reason: String,
}

/// What the caller knows beyond the event itself. Only what is set is written.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Required with [`Event::Offer`].
    pub place: Option<Place>,
    /// Who accepts or adopts.
    pub launcher: Option<LauncherId>,
    /// The host's boot when the container is about to be made.
    pub boot_id: Option<String>,
    pub image_id: Option<String>,
    pub container_id: Option<String>,
    pub exit_code: Option<i32>,
    /// One sentence of ours about a failure.
    pub detail: Option<String>,
    pub result: Option<JobResult>,
}

/// One event for one RunJob.
#[derive(Debug, Clone)]
pub struct Step {
    pub run_job: RunJobId,
    pub event: Event,
    pub facts: Facts,
}

impl Step {
    /// An event that brings no facts.
    #[must_use]
    pub fn new(run_job: RunJobId, event: Event) -> Self {
        Self { run_job, event, facts: Facts::default() }
    }
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub run: RunId,
    pub run_job: RunJobId,
    pub status: RunJobStatus,
    pub attempt: Option<(AttemptId, AttemptState, Fence)>,
    pub verdict: Verdict,
    /// The database's time of the change.
    pub at: DateTime<Utc>,
}

/// Applies one event.
///
/// # Errors
/// [`Error::Refused`] when the lifecycle says no, [`Error::NotFound`] for an unknown RunJob; both leave the
/// transaction usable. A database error does not.
pub async fn transition(connection: &mut Conn, step: Step, actor: &Actor) -> Result<Applied, Error> {
    let id = step.run_job;
    let mut outcomes = transition_all(connection, std::slice::from_ref(&step), actor).await?;
    match outcomes.pop() {
        Some(Ok(applied)) => Ok(applied),
        Some(Err(StepError::Refused(refusal))) => Err(Error::Refused(refusal)),
        Some(Err(StepError::Unknown)) | None => Err(Error::NotFound { what: "run job", id: id.to_string() }),
    }
}

/// Why one step of many changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepError {
    Refused(Refusal),
    /// There is no such RunJob.
    Unknown,
}

/// Applies many events with a fixed number of statements. Outcomes come in the order of the steps.
///
/// # Errors
/// A database error; the caller's transaction must be rolled back then.
pub async fn transition_all(
    connection: &mut Conn,
    steps: &[Step],
    actor: &Actor,
) -> Result<Vec<Result<Applied, StepError>>, Error> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    write::mark_runs_started(connection, steps).await?;
    let mut rows = read::lock(connection, steps).await?;
    let mut batch = batch::Batch::default();
    let outcomes = steps.iter().map(|step| batch::decide(&mut rows, step, actor, &mut batch)).collect();
    batch.flush(connection).await?;
    Ok(outcomes)
}
