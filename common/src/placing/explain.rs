//! Why one RunJob is not placed yet: its place in line, and what every place has against it.
//!
//! Computed when somebody asks, on one picture of the database, with the same code that places. Guarantees nothing beyond
//! that moment. Deliberately absent: which cards' telemetry stands still, which only the scheduler counts; a card without
//! any telemetry is told.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::RunJobId,
    lifecycle::RunJobStatus,
    placement::{self, Candidate, Holding, Options},
};

use super::snapshot;
use crate::db::{Conn, Error, begin_snapshot, holdings, pauses, waiting};

/// How a RunJob stands towards a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its Run is not admitted: held for this reason, or not looked at yet.
    NotAdmitted { hold: Option<String> },
    /// It failed and waits for its next attempt.
    NotDue { until: DateTime<Utc> },
    /// It is in line.
    InLine {
        ahead: u64,
        places: Vec<PlaceAhead>,
        /// About when its turn comes, if anybody can tell.
        turn_in_ms: Option<u64>,
    },
    /// More RunJobs are before it than one look takes in.
    FarBehind,
    /// It has or had its place.
    Placed { status: RunJobStatus },
}

/// A place that a RunJob may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceAhead {
    pub candidate: Candidate,
    /// About when what is in the way has ended; `None` if nobody can tell.
    pub free_in_ms: Option<u64>,
}

/// Why a RunJob is where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub standing: Standing,
    /// Queues that a person has paused.
    pub pauses: Vec<pauses::Pause>,
    /// Median run time of the last successes of its job; `None` before the first.
    pub typical_run_seconds: Option<f64>,
}

/// Explains it; `None`: there is no such RunJob.
///
/// # Errors
/// When the database can't be read.
pub async fn explain(connection: &mut Conn, run_job: RunJobId) -> Result<Option<Explained>, Error> {
    let mut tx = begin_snapshot(connection).await?;
    let Some(row) = waiting::standing(&mut tx, run_job).await? else { return Ok(None) };
    let pauses = pauses::all(&mut tx).await?;
    let typical_run_seconds = holdings::typical_run_seconds(&mut tx, &row.task_key).await?;
    let standing = if row.status != RunJobStatus::Pending {
        Standing::Placed { status: row.status }
    } else if !row.admitted {
        Standing::NotAdmitted { hold: row.hold }
    } else if let Some(until) = row.not_before {
        Standing::NotDue { until }
    } else {
        let seen = snapshot::read(&mut tx, Options::default(), &BTreeSet::new(), &BTreeSet::new()).await?;
        match placement::explain(&seen.problem, run_job, seen.now) {
            Some(found) => in_line(found, &holdings::open(&mut tx).await?, typical_run_seconds),
            None => Standing::FarBehind,
        }
    };
    tx.commit().await?;
    Ok(Some(Explained { standing, pauses, typical_run_seconds }))
}

fn in_line(
    found: placement::Explanation,
    holdings: &[Holding],
    typical_run_seconds: Option<f64>,
) -> Standing {
    let places: Vec<PlaceAhead> = found
        .candidates
        .into_iter()
        .map(|candidate| PlaceAhead { free_in_ms: placement::free_in_ms(&candidate, holdings), candidate })
        .collect();
    let free: Vec<Option<u64>> = places.iter().map(|place| place.free_in_ms).collect();
    let typical_ms = typical_run_seconds.map(|seconds| (seconds * 1_000.0) as u64);
    Standing::InLine {
        ahead: found.ahead,
        turn_in_ms: placement::turn_in_ms(&free, found.ahead, typical_ms),
        places,
    }
}
