//! The scheduler as a service: stands for election, leads, and steps back.
//!
//! ```text
//!            wins the row                 loses the row, can't reach it, or a loop of the term died
//! standby ───────────────▶ leading ──────────────────────────────────────────────────────────▶ standby
//! ```
//! Drain order at shutdown: the term's consumers stop taking tasks and their handlers finish (10 s at most); its loops
//! drop the pass that is under way, which rolls back; then the row is given up, so that a standby takes over at once.

use std::time::Duration;

use cyberbrain_common::{db::Pool, metric};
use futures::{FutureExt as _, future::FusedFuture as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{election::Election, options::Options, signal::Signal, term::Term};

/// A loop that dies at once is not started in a hot circle.
const AFTER_DEATH: Duration = Duration::from_secs(1);

/// What a scheduler is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Watches the leader.
    Standby,
    Leading {
        term: i64,
    },
}

/// A scheduler.
#[derive(Debug)]
pub struct Service {
    pool: Pool,
    options: Options,
    standing: watch::Sender<Standing>,
    tick: Signal,
}

/// A look at a scheduler, and a nudge. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    standing: watch::Receiver<Standing>,
    tick: Signal,
}

impl Handle {
    /// What it is doing now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Makes it look for places at once, if it leads.
    pub fn wake(&self) {
        self.tick.wake();
    }
}

impl Service {
    #[must_use]
    pub fn new(pool: Pool, options: Options) -> Self {
        let (standing, _) = watch::channel(Standing::Standby);
        Self { pool, options, standing, tick: Signal::default() }
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { standing: self.standing.subscribe(), tick: self.tick.clone() }
    }

    /// Schedules until `shutdown`, whatever happens to the database. Dropping it is a hard stop: the row stays ours
    /// until a standby has counted its silence.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut election = Election::new(self.pool.clone());
        loop {
            self.stand(Standing::Standby);
            let holder = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                holder = election.win() => holder,
            };
            info!(term = holder.term, "leading");
            self.stand(Standing::Leading { term: holder.term });
            let stop = shutdown.child_token();
            let term = Term::new(self.pool.clone(), self.options.clone(), self.tick.clone());
            let mut work = Box::pin(term.run(stop.clone()).fuse());
            tokio::select! {
                () = &mut work => {
                    error!(term = holder.term, "a loop of the scheduler died, standing for election again");
                    tokio::time::sleep(AFTER_DEATH).await;
                }
                () = election.keep(holder) => {}
                () = shutdown.cancelled() => {}
            }
            stop.cancel();
            if !work.is_terminated() {
                work.await;
            }
            election.resign(holder).await;
            info!(term = holder.term, "not leading any more");
        }
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
        let leads = match standing {
            Standing::Standby => 0.0,
            Standing::Leading { .. } => 1.0,
        };
        metrics::gauge!(metric::SCHEDULER_IS_LEADER).set(leads);
    }
}
