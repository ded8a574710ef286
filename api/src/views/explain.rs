//! Why a run job is where it is.

use chrono::{DateTime, Utc};
use cyberbrain_common::placing::{Explained, Standing};
use cyberbrain_core::{
    placement::{Candidate, WaitingCode},
    text_enum,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RunJobDetail, worker::PauseOf};

text_enum! {
    /// How a run job stands towards a place.
    StandingKind("standing of a run job") {
        /// Its run is not admitted.
        NotAdmitted = "not_admitted",
        /// It failed and waits for its next attempt.
        NotDue = "not_due",
        InLine = "in_line",
        /// More run jobs are before it than one look takes in.
        FarBehind = "far_behind",
        /// It has or had its place.
        Placed = "placed",
    }
}

/// A place and what is in the way there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CandidateView {
    /// UUID of a card, or `host <name>`.
    place: String,
    host: String,
    /// Null: it fits there now.
    obstacle: Option<ObstacleView>,
}

/// What is in the way.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ObstacleView {
    code: WaitingCode,
    detail: String,
}

impl From<Candidate> for CandidateView {
    fn from(candidate: Candidate) -> Self {
        let obstacle = candidate.obstacle;
        Self {
            place: candidate.place.to_string(),
            host: candidate.host,
            obstacle: obstacle.map(|why| ObstacleView { code: why.code(), detail: why.to_string() }),
        }
    }
}

/// Why a run job is where it is, as of one moment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ExplainView {
    /// In a sentence.
    said: String,
    standing: StandingKind,
    /// Run jobs that have their turn before it; null unless it is in line.
    ahead: Option<u64>,
    /// Why its run is held.
    hold: Option<String>,
    /// When it is due again after a failure.
    due_at: Option<DateTime<Utc>>,
    /// Every card and host that it may use.
    candidates: Vec<CandidateView>,
    /// Queues that a person has paused.
    pauses: Vec<PauseOf>,
    /// Median run time of the last 20 successes of its job: how long one before it takes. Null before the first.
    typical_run_seconds: Option<f64>,
    /// The run job, with its attempts and audit trail.
    run_job: RunJobDetail,
}

impl ExplainView {
    pub(crate) fn new(explained: Explained, run_job: RunJobDetail) -> Self {
        let Explained { standing, pauses, typical_run_seconds } = explained;
        let said = sentence(&standing, &run_job, &pauses);
        let mut view = Self {
            said,
            standing: StandingKind::Placed,
            ahead: None,
            hold: None,
            due_at: None,
            candidates: Vec::new(),
            pauses: pauses.into_iter().map(Into::into).collect(),
            typical_run_seconds,
            run_job,
        };
        match standing {
            Standing::NotAdmitted { hold } => {
                view.standing = StandingKind::NotAdmitted;
                view.hold = hold;
            }
            Standing::NotDue { until } => {
                view.standing = StandingKind::NotDue;
                view.due_at = Some(until);
            }
            Standing::InLine { ahead, candidates } => {
                view.standing = StandingKind::InLine;
                view.ahead = Some(ahead);
                view.candidates = candidates.into_iter().map(Into::into).collect();
            }
            Standing::FarBehind => view.standing = StandingKind::FarBehind,
            Standing::Placed { .. } => {}
        }
        view
    }

    pub(crate) fn said(&self) -> &str {
        &self.said
    }
}

/// Candidates that a sentence names.
const NAMED: usize = 3;

fn sentence(
    standing: &Standing,
    run_job: &RunJobDetail,
    pauses: &[cyberbrain_common::db::pauses::Pause],
) -> String {
    let paused = pauses
        .first()
        .map(|pause| format!(" The queue {} is paused by {}: {}.", pause.queue, pause.by, pause.reason));
    let paused = paused.unwrap_or_default();
    match standing {
        Standing::NotAdmitted { hold: Some(hold) } => format!("Its run is held: {hold}.{paused}"),
        Standing::NotAdmitted { hold: None } => format!("Its run has not been looked at yet.{paused}"),
        Standing::NotDue { until } => format!("It failed and is due again at {until}.{paused}"),
        Standing::FarBehind => format!("It waits, with thousands before it.{paused}"),
        Standing::Placed { .. } => run_job.why(),
        Standing::InLine { ahead, candidates } => {
            let told: Vec<String> = candidates
                .iter()
                .take(NAMED)
                .map(|candidate| match &candidate.obstacle {
                    Some(obstacle) => format!("{}: {obstacle}", candidate.place),
                    None => format!("{}: it fits", candidate.place),
                })
                .collect();
            let more = candidates.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more places") } else { String::new() };
            let places = if told.is_empty() {
                "there is no place that it may use".to_owned()
            } else {
                told.join("; ")
            };
            format!("{ahead} run jobs are before it. {places}{more}.{paused}")
        }
    }
}
