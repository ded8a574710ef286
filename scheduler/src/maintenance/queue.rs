//! The queue's upkeep: finished tasks, dead workers, stuck claims.

use cyberbrain_common::{
    db::{Error, Pool},
    queue::{self, Retention, Swept},
};
use tracing::debug;

use crate::pass::{Next, Pass};

/// Calls the queue's janitor.
#[derive(Debug)]
pub struct QueueJanitor {
    pool: Pool,
}

impl QueueJanitor {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// One pass.
    ///
    /// # Errors
    /// A database error; the steps before it are done.
    pub async fn run_once(&mut self) -> Result<Swept, Error> {
        Ok(queue::janitor(&self.pool, Retention::default()).await?)
    }
}

impl Pass for QueueJanitor {
    const NAME: &'static str = "queue janitor";

    async fn pass(&mut self) -> Result<Next, Error> {
        let swept = self.run_once().await?;
        debug!(freed = swept.freed, deleted = swept.deleted, workers = swept.workers, "queue swept");
        Ok(Next::Wait)
    }
}
