//! What a leader does: its consumers and its loops, until the term ends.
//!
//! Everything that silence is judged by starts at zero with a term. Two terms at once (an old leader that has not
//! noticed yet) are harmless.

use std::{num::NonZeroUsize, time::Duration};

use cyberbrain_common::{
    db::Pool,
    queue::{Consumer, PlaceTask, RunTask},
    wake::{self, CAPACITY_FREED},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    admit::{self, AdmitScan},
    close::{self, CloseScan},
    deadlines::Deadlines,
    gauges::Gauges,
    maintenance::{AuditUpkeep, InventoryRetention, LedgerCheck, QueueJanitor, SampleRetention},
    options::Options,
    pass::{Pace, Pass, repeat, told},
    place::Tick,
    reaper::{Reaper, StaleGpus},
    signal::Signal,
};

const REAP_EVERY: Duration = Duration::from_secs(2);
const DEADLINES_EVERY: Duration = Duration::from_secs(1);
const GAUGES_EVERY: Duration = Duration::from_secs(5);
const QUEUE_JANITOR_EVERY: Duration = Duration::from_secs(30);
const LEDGER_CHECK_EVERY: Duration = Duration::from_secs(60);
const SAMPLES_EVERY: Duration = Duration::from_secs(300);
const INVENTORY_EVERY: Duration = Duration::from_secs(600);
const AUDIT_UPKEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Handlers that admit or close at once; each holds one connection.
const RUN_HANDLERS: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not zero");

/// One term of leadership.
#[derive(Debug)]
pub struct Term {
    pool: Pool,
    options: Options,
    tick: Signal,
}

impl Term {
    #[must_use]
    pub fn new(pool: Pool, options: Options, tick: Signal) -> Self {
        Self { pool, options, tick }
    }

    /// Works until `stop`, or until one of its tasks dies. Dropping it ends all of them at once.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let admissions = Signal::default();
        let closings = Signal::default();
        self.start_consumers(&mut tasks, &stop);
        self.start_wakes(&mut tasks, &stop, [self.tick.clone(), admissions.clone(), closings.clone()]);

        let stale = StaleGpus::default();
        let scan_every = self.options.delivery.scans().then_some(self.options.scan_every);
        let pool = || self.pool.clone();
        let looped = |every: Duration| Pace { every: Some(every), signal: Signal::default() };
        let on = |signal: Signal| Pace { every: scan_every, signal };
        let tick = Tick::new(pool(), self.options.placement, stale.clone());
        start(&mut tasks, tick, on(self.tick.clone()), &stop);
        if self.options.delivery.scans() {
            start(&mut tasks, AdmitScan::new(pool(), self.tick.clone()), on(admissions), &stop);
            start(&mut tasks, CloseScan::new(pool()), on(closings), &stop);
        }
        start(&mut tasks, Reaper::new(pool(), stale, self.tick.clone()), looped(REAP_EVERY), &stop);
        start(&mut tasks, Deadlines::new(pool(), self.tick.clone()), looped(DEADLINES_EVERY), &stop);
        start(&mut tasks, Gauges::new(pool()), looped(GAUGES_EVERY), &stop);
        start(&mut tasks, QueueJanitor::new(pool()), looped(QUEUE_JANITOR_EVERY), &stop);
        start(&mut tasks, LedgerCheck::new(pool()), looped(LEDGER_CHECK_EVERY), &stop);
        start(&mut tasks, SampleRetention::new(pool()), looped(SAMPLES_EVERY), &stop);
        start(&mut tasks, InventoryRetention::new(pool()), looped(INVENTORY_EVERY), &stop);
        start(&mut tasks, AuditUpkeep::new(pool()), looped(AUDIT_UPKEEP_EVERY), &stop);

        while let Some(ended) = tasks.join_next().await {
            if !stop.is_cancelled() {
                match ended {
                    Ok(()) => error!("a task of the scheduler ended by itself"),
                    Err(failure) => error!(error = %failure, "a task of the scheduler panicked"),
                }
                stop.cancel();
            }
        }
        Gauges::clear();
    }

    fn start_consumers(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        if !self.options.delivery.takes_queue() {
            return;
        }
        let runs = Consumer::runs(&self.pool, &self.options.owner).with_concurrency(RUN_HANDLERS);
        let (pool, tick) = (self.pool.clone(), self.tick.clone());
        let handle_run = move |task: RunTask| handle_run(pool.clone(), tick.clone(), task);
        tasks.spawn(runs.run(handle_run, stop.clone()));

        let run_jobs = Consumer::run_jobs(&self.pool, &self.options.owner);
        let tick = self.tick.clone();
        // The tick reads the tables; which RunJobs the task names makes no difference.
        let handle_place = move |_: PlaceTask| {
            tick.wake();
            std::future::ready(())
        };
        tasks.spawn(run_jobs.run(handle_place, stop.clone()));
    }

    fn start_wakes(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken, signals: [Signal; 3]) {
        let mut wakes = wake::listen(&self.pool.connect_options(), CAPACITY_FREED, |_| true);
        let stop = stop.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = wakes.next() => signals.iter().for_each(Signal::wake),
                }
            }
        });
    }
}

fn start<P: Pass>(tasks: &mut JoinSet<()>, pass: P, pace: Pace, stop: &CancellationToken) {
    tasks.spawn(repeat(pass, pace, stop.clone()));
}

async fn handle_run(pool: Pool, tick: Signal, task: RunTask) {
    let failure = match task {
        RunTask::Admit(run) => match admit::admit(&pool, run).await {
            Ok(outcome) => {
                if outcome.has_work() {
                    tick.wake();
                }
                return;
            }
            Err(failure) => failure,
        },
        RunTask::Close(run) => match close::close(&pool, run).await {
            Ok(_) => return,
            Err(failure) => failure,
        },
    };
    error!(task = ?task, error = told(&failure), "a run could not be handled, the scan will try again");
}
