//! Admission: whether a Run may start, and what its RunJobs become.
//!
//! One transaction under the directive's and the Run's lock decides: a person's approval first, then the limit of
//! concurrent Runs (oldest first), then a known host for what is one per host. Idempotent: an admitted Run is left
//! alone. Deliberately absent: placing.

mod fan_out;

use cyberbrain_common::{
    db::{
        Error, Pool,
        admission::{self, After, Approval, Hold, Unadmitted},
        pauses,
        transition::{Facts, Step, transition_all},
    },
    queue::{self, PlaceTask, QueueKind},
};
use cyberbrain_core::{
    ids::{RunId, RunJobId},
    lifecycle::Event,
    placement::WaitingCode,
};
use tracing::{error, info};

use crate::{
    moves::ACTOR,
    pass::{Next, Pass, told},
    signal::Signal,
};
use fan_out::FanOut;

/// Runs that one query of the scan lists, and queries per pass.
const PAGE: u32 = 200;
const PAGES: u32 = 10;

/// What became of a Run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its RunJobs may be placed.
    Admitted {
        run_jobs: usize,
    },
    Held(Hold),
    /// It has RunJobs that are one per host, and no host takes work.
    NoHost,
    /// A person said no; its RunJobs are cancelled.
    Denied,
    /// Admission is paused by a person.
    Paused,
    /// It needs none (any more).
    NotNeeded,
}

impl Admission {
    /// Whether there is something new to place.
    pub(crate) const fn has_work(self) -> bool {
        match self {
            Self::Admitted { run_jobs } => run_jobs > 0,
            Self::Held(_) | Self::NoHost | Self::Denied | Self::Paused | Self::NotNeeded => false,
        }
    }
}

/// Looks whether a Run may start, and starts it if so.
///
/// # Errors
/// A database error; nothing is changed then.
pub async fn admit(pool: &Pool, run: RunId) -> Result<Admission, Error> {
    let mut tx = pool.begin().await?;
    let Some(waiting) = admission::read(&mut tx, run).await? else { return Ok(Admission::NotNeeded) };
    if !pauses::paused_of(&mut tx, &[QueueKind::Runs]).await?.is_empty() {
        return Ok(Admission::Paused);
    }
    if waiting.directive.max_concurrent_runs.is_some() {
        admission::lock_directive(&mut tx, waiting.directive.id).await?;
    }
    let Some(locked) = admission::lock(&mut tx, run).await? else { return Ok(Admission::NotNeeded) };

    let outcome = match needs_approval(&waiting) {
        Needs::Nothing => match hold_for_others(&mut tx, &waiting).await? {
            Some(hold) => Admission::Held(hold),
            None => start(&mut tx, run, locked).await?,
        },
        Needs::Approval => Admission::Held(Hold::AwaitingApproval),
        Needs::End => {
            let run_jobs = admission::lock_waiting(&mut tx, run).await?;
            // Who denied it, and in which words, is in the audit trail.
            let facts = Facts { detail: Some("the run was denied approval".to_owned()), ..Facts::default() };
            let step = |id: &RunJobId| Step { run_job: *id, event: Event::Cancel, facts: facts.clone() };
            let steps: Vec<Step> = run_jobs.iter().map(step).collect();
            transition_all(&mut tx, &steps, &ACTOR).await?;
            Admission::Denied
        }
    };
    if let Admission::Held(hold) = outcome
        && locked.hold != Some(hold)
    {
        admission::hold(&mut tx, run, hold).await?;
    }
    tx.commit().await?;
    if outcome != Admission::NotNeeded {
        info!(run.id = %run, ?outcome, "run looked at");
    }
    Ok(outcome)
}

enum Needs {
    Nothing,
    Approval,
    End,
}

fn needs_approval(waiting: &Unadmitted) -> Needs {
    match (waiting.directive.approval_required, waiting.approval) {
        (_, Some(Approval::Denied)) => Needs::End,
        (false, None | Some(Approval::Approved)) | (true, Some(Approval::Approved)) => Needs::Nothing,
        (true, None) => Needs::Approval,
    }
}

async fn hold_for_others(
    tx: &mut cyberbrain_common::db::Conn,
    waiting: &Unadmitted,
) -> Result<Option<Hold>, Error> {
    let Some(limit) = waiting.directive.max_concurrent_runs else { return Ok(None) };
    let before = admission::count_before(tx, waiting).await?;
    Ok((before >= u64::from(limit)).then_some(Hold::MaxConcurrentRuns))
}

async fn start(
    tx: &mut cyberbrain_common::db::Conn,
    run: RunId,
    locked: admission::Locked,
) -> Result<Admission, Error> {
    admission::lock_waiting(tx, run).await?;
    match fan_out::fan_out(tx, run).await? {
        FanOut::NoHost => {
            admission::note_waiting(tx, run, WaitingCode::NoHostKnown.as_str()).await?;
            return Ok(Admission::NoHost);
        }
        FanOut::Done => {}
    }
    let run_jobs: Vec<RunJobId> = admission::admit(tx, run, locked.hold).await?;
    queue::push(tx, &PlaceTask::for_all(&run_jobs)).await?;
    Ok(Admission::Admitted { run_jobs: run_jobs.len() })
}

/// Finds every Run that may be admissible, oldest first.
#[derive(Debug)]
pub struct AdmitScan {
    pool: Pool,
    tick: Signal,
}

impl AdmitScan {
    #[must_use]
    pub fn new(pool: Pool, tick: Signal) -> Self {
        Self { pool, tick }
    }

    /// One scan. Returns how many Runs were admitted. A Run that can't be looked at is logged and passed over.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<usize, Error> {
        let mut after: Option<After> = None;
        let mut admitted = 0;
        for _ in 0..PAGES {
            let page = {
                let mut connection = self.pool.acquire().await?;
                admission::candidates(&mut connection, after, PAGE).await?
            };
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for candidate in &page {
                match admit(&self.pool, candidate.run).await {
                    Ok(Admission::Admitted { .. }) => admitted += 1,
                    Ok(Admission::Paused) => return Ok(admitted),
                    Ok(Admission::Held(_) | Admission::NoHost | Admission::Denied | Admission::NotNeeded) => {
                    }
                    Err(failure @ Error::Unreachable(_)) => return Err(failure),
                    Err(failure) => {
                        error!(run.id = %candidate.run, error = told(&failure), "a run can't be admitted");
                    }
                }
            }
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        if admitted > 0 {
            self.tick.wake();
        }
        Ok(admitted)
    }
}

impl Pass for AdmitScan {
    const NAME: &'static str = "admit";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}
