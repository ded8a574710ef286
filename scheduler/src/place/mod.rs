//! The tick: read what waits and what is free, ask `core::placement::place`, commit host by host.
//!
//! Guarantees: one tick at a time per scheduler, bounded work per tick, and a host whose plan is refused by the ledger's
//! constraints neither loses anything nor holds up the others. Two schedulers at once are harmless: the RunJob's
//! lock, the one-open-attempt index and the CHECKs decide. Deliberately absent: the decision itself.

mod commit;
mod strikes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use cyberbrain_common::{
    db::{
        Error, Pool, pauses,
        transition::{Facts, Step},
        waiting::{self, ClassKey},
    },
    metric,
    placing::{self, Snapshot},
    queue::QueueKind,
};
use cyberbrain_core::{
    ids::HostId,
    lifecycle::Event,
    placement::{ClassWaiting, Options, Placement, RefusedRunJob, WaitingCode, WaitingReason, place},
};
use futures::{StreamExt as _, stream};
use tracing::{debug, error};

use self::{
    commit::{Committed, HostCommit},
    strikes::Strikes,
};
use crate::{
    moves::{self, Move},
    pass::{Next, Pass, told},
    reaper::StaleGpus,
};

/// Hosts whose plans are committed at once; each holds one connection.
const HOSTS_AT_ONCE: usize = 4;
/// RunJobs refused per transaction.
const REFUSALS: usize = 200;
/// Waiting reasons that one tick writes at most.
const REASONS: u32 = 2_000;

/// What one tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TickSummary {
    /// RunJobs that got a place.
    pub placed: u64,
    /// Planned, but somebody was faster.
    pub passed_over: u64,
    /// RunJobs that no known host could ever take.
    pub infeasible: u64,
    /// Hosts whose plan the database refused.
    pub refusing_hosts: u64,
    /// RunJobs that still wait.
    pub waiting: u64,
    /// Whether another tick right now would find something to do.
    pub more: bool,
}

/// Gives waiting RunJobs a place.
#[derive(Debug)]
pub struct Tick {
    pool: Pool,
    options: Options,
    stale: StaleGpus,
    strikes: Strikes,
}

impl Tick {
    #[must_use]
    pub fn new(pool: Pool, options: Options, stale: StaleGpus) -> Self {
        Self { pool, options, stale, strikes: Strikes::default() }
    }

    /// One tick.
    ///
    /// # Errors
    /// A database error before anything was committed. Failures of single hosts are logged and counted.
    pub async fn run_once(&mut self) -> Result<TickSummary, Error> {
        let started = Instant::now();
        let Some(snapshot) = self.look().await? else { return Ok(TickSummary::default()) };
        let Snapshot { problem, keys, noted, now } = snapshot;
        // Hundreds of cards and thousands of heads take a while; the leader's heartbeat must not wait for it.
        let planned = tokio::task::spawn_blocking(move || place(&problem, now)).await;
        let plan = match planned {
            Ok(plan) => plan,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        };
        let mut summary = self.commit(plan.placements).await;
        summary.infeasible = self.refuse(&plan.refused).await?;
        summary.waiting = plan.waiting.iter().map(|class| class.waiting).sum();
        summary.more |= summary.placed > 0
            && plan.waiting.iter().any(|class| matches!(class.reason, WaitingReason::NextTick));
        self.note(&plan.waiting, &keys, &noted).await?;
        count_waiting(&plan.waiting);
        metrics::histogram!(metric::SCHEDULER_CYCLE).record(started.elapsed().as_secs_f64());
        debug!(?summary, elapsed_ms = started.elapsed().as_millis(), "tick");
        Ok(summary)
    }

    /// `None`: a person has paused placing.
    async fn look(&mut self) -> Result<Option<Snapshot>, Error> {
        let mut tx = self.pool.begin().await?;
        cyberbrain_common::db::plan::freeze(&mut tx).await?;
        // Without launchers that take them, offers would only expire.
        if !pauses::paused_of(&mut tx, &[QueueKind::RunJobs, QueueKind::Launch]).await?.is_empty() {
            return Ok(None);
        }
        let sidelined = self.strikes.sidelined(tokio::time::Instant::now());
        let snapshot = placing::read(&mut tx, self.options, &self.stale.get(), &sidelined).await?;
        Ok(Some(snapshot))
    }

    async fn commit(&mut self, placements: Vec<Placement>) -> TickSummary {
        let mut by_host: BTreeMap<HostId, Vec<Placement>> = BTreeMap::new();
        for placement in placements {
            by_host.entry(placement.host).or_default().push(placement);
        }
        let pool = self.pool.clone();
        let commits: Vec<HostCommit> = stream::iter(by_host)
            .map(move |(host, placements)| commit::host(pool.clone(), host, placements))
            .buffer_unordered(HOSTS_AT_ONCE)
            .collect()
            .await;
        let mut summary = TickSummary::default();
        for HostCommit { host, outcome } in commits {
            match outcome {
                Committed::Done { placed, passed_over } => {
                    summary.placed += placed;
                    summary.passed_over += passed_over;
                    self.strikes.forgive(host);
                }
                Committed::Refused => {
                    summary.refusing_hosts += 1;
                    // Once is a race with another scheduler: with fresh numbers it works at once.
                    self.strikes.strike(host, tokio::time::Instant::now());
                    summary.more = true;
                }
                // Counted and logged where it happened; the next tick tries again.
                Committed::Failed => {}
            }
        }
        summary
    }

    async fn refuse(&self, refused: &[RefusedRunJob]) -> Result<u64, Error> {
        let mut count = 0;
        for chunk in refused.chunks(REFUSALS) {
            let moves: Vec<Move> = chunk.iter().map(refusal).collect();
            let outcome = async {
                let mut tx = self.pool.begin().await?;
                let outcomes = moves::apply(&mut tx, &moves).await?;
                tx.commit().await?;
                Ok::<_, Error>(outcomes.iter().filter(|outcome| outcome.is_ok()).count())
            };
            match outcome.await {
                Ok(applied) => count += u64::try_from(applied).unwrap_or(u64::MAX),
                Err(failure @ Error::Unreachable(_)) => return Err(failure),
                Err(failure) => error!(error = told(&failure), "infeasible run jobs could not be refused"),
            }
        }
        metrics::counter!(metric::SCHEDULER_DECISIONS, "result" => "infeasible").increment(count);
        Ok(count)
    }

    /// Stores the reasons that have changed.
    async fn note(
        &self,
        waiting: &[ClassWaiting],
        keys: &[ClassKey],
        noted: &[Option<String>],
    ) -> Result<(), Error> {
        let changed: Vec<(ClassKey, WaitingCode)> = waiting
            .iter()
            .map(|class| (class.class, class.reason.code()))
            .filter(|(class, code)| noted[*class].as_deref() != Some(code.as_str()))
            .map(|(class, code)| (keys[class].clone(), code))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut connection = self.pool.acquire().await?;
        waiting::note_reasons(&mut connection, &changed, REASONS).await?;
        Ok(())
    }
}

impl Pass for Tick {
    const NAME: &'static str = "tick";

    async fn pass(&mut self) -> Result<Next, Error> {
        let summary = self.run_once().await?;
        Ok(if summary.more { Next::Again } else { Next::Wait })
    }
}

fn refusal(refused: &RefusedRunJob) -> Move {
    let facts = Facts { detail: Some(refused.reason.to_string()), ..Facts::default() };
    Step { run_job: refused.run_job, event: Event::Refuse { failure: refused.failure }, facts }.into()
}

fn count_waiting(waiting: &[ClassWaiting]) {
    let mut by_code: BTreeMap<WaitingCode, u64> = WaitingCode::ALL.iter().map(|code| (*code, 0)).collect();
    for class in waiting {
        *by_code.entry(class.reason.code()).or_default() += class.waiting;
    }
    for (code, waiting) in by_code {
        metrics::gauge!(metric::SCHEDULER_UNPLACEABLE, "reason" => code.as_str()).set(waiting as f64);
    }
}

/// Hosts by id.
type Hosts = BTreeSet<HostId>;
