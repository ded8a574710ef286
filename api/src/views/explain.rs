//! Why a run job is where it is.

use chrono::{DateTime, Utc};
use cyberbrain_common::placing::{Explained, PlaceAhead, Standing};
use cyberbrain_core::{placement::WaitingCode, text_enum};
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
    /// About when what is in the way has ended, from the typical run times of what runs there. Null: nobody can tell.
    free_in_seconds: Option<u64>,
}

/// What is in the way.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ObstacleView {
    code: WaitingCode,
    detail: String,
}

impl From<PlaceAhead> for CandidateView {
    fn from(PlaceAhead { candidate, free_in_ms }: PlaceAhead) -> Self {
        let obstacle = candidate.obstacle;
        Self {
            free_in_seconds: free_in_ms.map(seconds),
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
    /// About when its turn comes, if those before it are like it. Null: nobody can tell.
    turn_in_seconds: Option<u64>,
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
            turn_in_seconds: None,
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
            Standing::InLine { ahead, places, turn_in_ms } => {
                view.standing = StandingKind::InLine;
                view.ahead = Some(ahead);
                view.turn_in_seconds = turn_in_ms.map(seconds);
                view.candidates = places.into_iter().map(Into::into).collect();
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
        Standing::InLine { ahead, places, turn_in_ms } => {
            let told: Vec<String> = places.iter().take(NAMED).map(of_place).collect();
            let more = places.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more places") } else { String::new() };
            let told = if told.is_empty() {
                "there is no place that it may use".to_owned()
            } else {
                told.join("; ")
            };
            let turn = turn_in_ms.map(|ms| format!(" Its turn comes {}.", about(ms))).unwrap_or_default();
            format!("{ahead} run jobs are before it. {told}{more}.{turn}{paused}")
        }
    }
}

fn of_place(PlaceAhead { candidate, free_in_ms }: &PlaceAhead) -> String {
    let place = &candidate.place;
    match (&candidate.obstacle, free_in_ms) {
        (None, _) => format!("{place}: it fits"),
        (Some(obstacle), Some(ms)) => format!("{place}: {obstacle}, free {}", about(*ms)),
        (Some(obstacle), None) => format!("{place}: {obstacle}"),
    }
}

const fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000)
}

/// As a person says it: no more exact than an estimate is.
fn about(ms: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    match seconds(ms) {
        0 => "at any moment".to_owned(),
        s if s < 2 * MINUTE => format!("in about {s} s"),
        s if s < 2 * HOUR => format!("in about {} min", (s + MINUTE / 2) / MINUTE),
        s => format!("in about {} h", (s + HOUR / 2) / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_told_as_estimates() {
        for (ms, said) in [
            (0, "at any moment"),
            (1, "in about 1 s"),
            (119_000, "in about 119 s"),
            (120_000, "in about 2 min"),
            (329_000, "in about 5 min"),
            (7_200_000, "in about 2 h"),
            (u64::MAX, "in about 5124095576030 h"),
        ] {
            assert_eq!(about(ms), said, "{ms}");
        }
    }
}
