//! Snapshots of the container inventory are kept for a week, the newest of each container for ever.

use cyberbrain_common::db::{Error, Pool, retention};

use super::ROWS;
use crate::pass::{Next, Pass};

/// Forgets old snapshots.
#[derive(Debug)]
pub struct InventoryRetention {
    pool: Pool,
}

impl InventoryRetention {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// One bounded delete. Returns how many rows went.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<u64, Error> {
        let mut connection = self.pool.acquire().await?;
        retention::prune_inventory(&mut connection, ROWS).await
    }
}

impl Pass for InventoryRetention {
    const NAME: &'static str = "inventory retention";

    async fn pass(&mut self) -> Result<Next, Error> {
        let deleted = self.run_once().await?;
        Ok(if deleted < u64::from(ROWS) { Next::Wait } else { Next::Again })
    }
}
