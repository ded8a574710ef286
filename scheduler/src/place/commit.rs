//! One host's part of a plan, in one transaction: attempts, leases, transitions, audit, and the push to its launchers.

use std::time::Duration;

use cyberbrain_common::{
    db::{
        Error, Pool,
        transition::{Facts, Place, PlaceKind, Step},
    },
    ids::fresh,
    metric,
    queue::LaunchTask,
};
use cyberbrain_core::{
    ids::{AttemptId, HostId},
    lifecycle::Event,
    placement::{Placement, Selection},
};
use tracing::warn;

use crate::{
    moves::{self, Move},
    pass::told,
};

/// The longest that one host's commit may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Placements of a refused plan that are named in the log.
const NAMED: usize = 8;

pub(super) struct HostCommit {
    pub host: HostId,
    pub outcome: Committed,
}

pub(super) enum Committed {
    /// `passed_over` were not waiting any more.
    Done { placed: u64, passed_over: u64 },
    /// A constraint said no; nothing of this host's plan was written.
    Refused,
    /// It is unknown, or the database said something else.
    Failed,
}

/// Commits a host's part of a plan.
pub(super) async fn host(pool: Pool, host: HostId, placements: Vec<Placement>) -> HostCommit {
    let outcome = match tokio::time::timeout(LIMIT, write(&pool, &placements)).await {
        Ok(Ok(done)) => done,
        Ok(Err(refusal @ Error::Constraint { .. })) => {
            metrics::counter!(metric::SCHEDULER_HOST_REFUSALS).increment(1);
            count("refused_by_ledger", placements.len());
            warn!(host.id = %host, constraint = refusal.constraint(), run_jobs = placements.len(),
                plan = told_plan(&placements), "the database refused a host's plan, the other hosts go on");
            Committed::Refused
        }
        Ok(Err(failure)) => {
            count("failed", placements.len());
            warn!(host.id = %host, error = told(&failure), run_jobs = placements.len(), "a host's plan was not committed");
            Committed::Failed
        }
        Err(_) => {
            count("failed", placements.len());
            warn!(host.id = %host, run_jobs = placements.len(), "a host's plan was not committed in time");
            Committed::Failed
        }
    };
    HostCommit { host, outcome }
}

async fn write(pool: &Pool, placements: &[Placement]) -> Result<Committed, Error> {
    let moves: Vec<Move> = placements.iter().map(offer).collect();
    let mut tx = pool.begin().await?;
    let outcomes = moves::apply(&mut tx, &moves).await?;
    tx.commit().await?;
    let mut placed = 0;
    for (placement, _) in placements.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
        placed += 1;
        count(placement.selection.kind().as_str(), 1);
        if let Some(kind) = placement.selection.fallback() {
            metrics::counter!(metric::SCHEDULER_CPU_FALLBACK, "reason" => kind.as_str()).increment(1);
        }
    }
    let passed_over = outcomes.len() - placed;
    count("passed_over", passed_over);
    Ok(Committed::Done { placed: as_count(placed), passed_over: as_count(passed_over) })
}

fn offer(placement: &Placement) -> Move {
    let attempt: AttemptId = fresh();
    let place = Place {
        attempt,
        host: placement.host,
        kind: match placement.selection {
            Selection::Gpu { .. } | Selection::Explicit { .. } | Selection::AfterMiss { .. } => {
                PlaceKind::Gpu
            }
            Selection::Cpu => PlaceKind::Cpu,
            Selection::CpuFallback { .. } => PlaceKind::CpuFallback,
        },
        gpus: placement.gpus.iter().map(|grant| (grant.gpu.clone(), grant.reserved_mib)).collect(),
        reason: placement.selection.to_string(),
    };
    Move {
        step: Step {
            run_job: placement.run_job,
            event: Event::Offer,
            facts: Facts { place: Some(place), ..Facts::default() },
        },
        launch: Some(LaunchTask { host: placement.host, attempt }),
    }
}

/// What was planned, for whoever has to find out why it did not fit.
fn told_plan(placements: &[Placement]) -> String {
    let mut told: Vec<String> = placements
        .iter()
        .take(NAMED)
        .map(|placement| format!("{} ({})", placement.run_job, placement.selection))
        .collect();
    if placements.len() > NAMED {
        told.push(format!("and {} more", placements.len() - NAMED));
    }
    told.join("; ")
}

fn count(result: &'static str, decisions: usize) {
    metrics::counter!(metric::SCHEDULER_DECISIONS, "result" => result).increment(as_count(decisions));
}

fn as_count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
