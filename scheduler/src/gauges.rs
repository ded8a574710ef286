//! Gauges that are read from the tables: how much has not ended, and how long the oldest waits.

use std::collections::BTreeSet;

use cyberbrain_common::{
    db::{Error, Pool, waiting},
    metric,
};
use cyberbrain_core::{lifecycle::RunJobStatus, placement::WaitingCode};

use crate::pass::{Next, Pass};

/// Sets the gauges.
#[derive(Debug)]
pub struct Gauges {
    pool: Pool,
    /// Label pairs that were set; those that are gone become 0.
    shown: BTreeSet<(RunJobStatus, i16)>,
}

impl Gauges {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool, shown: BTreeSet::new() }
    }

    /// Reads and sets all of them.
    ///
    /// # Errors
    /// A database error; the gauges keep their values.
    pub async fn run_once(&mut self) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let depths = waiting::depths(&mut connection).await?;
        let oldest = waiting::oldest_wait_seconds(&mut connection).await?;
        let present: BTreeSet<(RunJobStatus, i16)> =
            depths.iter().map(|depth| (depth.status, depth.priority)).collect();
        for gone in self.shown.difference(&present) {
            set_depth(*gone, 0);
        }
        for depth in &depths {
            set_depth((depth.status, depth.priority), depth.run_jobs);
        }
        self.shown = present;
        metrics::gauge!(metric::QUEUE_OLDEST).set(oldest);
        Ok(())
    }

    /// What only a leader knows is not to be read from one that leads no more.
    pub(crate) fn clear() {
        metrics::gauge!(metric::QUEUE_OLDEST).set(0.0);
        metrics::gauge!(metric::SCHEDULER_REASSIGNMENT_PAUSED).set(0.0);
        for code in WaitingCode::ALL {
            metrics::gauge!(metric::SCHEDULER_UNPLACEABLE, "reason" => code.as_str()).set(0.0);
        }
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        for shown in &self.shown {
            set_depth(*shown, 0);
        }
    }
}

impl Pass for Gauges {
    const NAME: &'static str = "gauges";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}

fn set_depth((status, priority): (RunJobStatus, i16), run_jobs: u64) {
    metrics::gauge!(metric::QUEUE_DEPTH, "state" => status.as_str(), "priority" => priority.to_string())
        .set(run_jobs as f64);
}
