//! Closing a Run whose RunJobs have all ended: tokens, status, report.
//!
//! Its own step, under the Run's lock, and not part of the last transition: two transactions that end the last two
//! RunJobs at once each see the other's as open. Idempotent; found by the scan whatever happened to the push.

use cyberbrain_common::{
    db::{
        Error, Pool,
        admission::{self, After},
        audit::{self, Entry},
        closing,
    },
    metric,
    queue::{self, RunTask},
};
use cyberbrain_core::{
    audit::Operation,
    ids::RunId,
    lifecycle::RunStatus,
    report::{self, RunReport},
};
use tracing::{error, info};

use crate::{
    moves::ACTOR,
    pass::{Next, Pass, told},
};

/// Runs that one query of the scan lists, and queries per pass.
const PAGE: u32 = 100;
const PAGES: u32 = 20;
/// How many held Runs are looked at when a Run of their directive has ended.
const HELD: u32 = 8;

/// What became of a Run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    Closed(RunStatus),
    /// A RunJob has not ended.
    StillOpen,
    /// It was closed before, or never was.
    NotNeeded,
}

/// Closes a Run if it is over.
///
/// # Errors
/// A database error; nothing is changed then.
pub async fn close(pool: &Pool, run: RunId) -> Result<Closing, Error> {
    let mut tx = pool.begin().await?;
    let Some(locked) = closing::lock(&mut tx, run).await? else { return Ok(Closing::NotNeeded) };
    let sums = closing::sums(&mut tx, run).await?;
    if sums.progress.open > 0 {
        return Ok(Closing::StillOpen);
    }
    let facts = closing::facts(&mut tx, run, locked, sums).await?;
    let Some(report) = report::build(facts) else { return Ok(Closing::StillOpen) };
    closing::close(&mut tx, &report, &report::markdown(&report)).await?;
    audit::write(&mut tx, finish_entry(&report)).await?;
    let held = admission::held_beside(&mut tx, run, HELD).await?;
    let admits: Vec<RunTask> = held.into_iter().map(RunTask::Admit).collect();
    queue::push(&mut tx, &admits).await?;
    tx.commit().await?;
    metrics::counter!(metric::RUNS_FINISHED, "outcome" => report.status.as_str()).increment(1);
    info!(run.id = %run, status = %report.status, "run closed");
    Ok(Closing::Closed(report.status))
}

fn finish_entry(report: &RunReport) -> Entry {
    let entry = Entry::new(Operation::Finish, &ACTOR).run(report.run_id);
    let counts = report.counts;
    match report.status {
        RunStatus::Success | RunStatus::Pending | RunStatus::Running => entry,
        RunStatus::Failed | RunStatus::Cancelled => entry.failed(format!(
            "{}: {} succeeded, {} failed, {} cancelled",
            report.status, counts.success, counts.failed, counts.cancelled
        )),
    }
}

/// Finds every Run that is over.
#[derive(Debug)]
pub struct CloseScan {
    pool: Pool,
}

impl CloseScan {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// One scan. Returns how many Runs were closed. A Run that can't be closed is logged and passed over.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<usize, Error> {
        let mut after: Option<After> = None;
        let mut closed = 0;
        for _ in 0..PAGES {
            let page = {
                let mut connection = self.pool.acquire().await?;
                closing::candidates(&mut connection, after, PAGE).await?
            };
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for candidate in &page {
                match close(&self.pool, candidate.run).await {
                    Ok(Closing::Closed(_)) => closed += 1,
                    Ok(Closing::StillOpen | Closing::NotNeeded) => {}
                    Err(failure @ Error::Unreachable(_)) => return Err(failure),
                    Err(failure) => {
                        error!(run.id = %candidate.run, error = told(&failure), "a run can't be closed");
                    }
                }
            }
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(closed)
    }
}

impl Pass for CloseScan {
    const NAME: &'static str = "close";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}
