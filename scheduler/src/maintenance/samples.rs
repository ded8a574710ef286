//! GPU samples are kept for a day.

use cyberbrain_common::db::{Error, Pool, retention};

use super::ROWS;
use crate::pass::{Next, Pass};

/// Forgets old GPU samples.
#[derive(Debug)]
pub struct SampleRetention {
    pool: Pool,
}

impl SampleRetention {
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
        retention::prune_samples(&mut connection, ROWS).await
    }
}

impl Pass for SampleRetention {
    const NAME: &'static str = "sample retention";

    async fn pass(&mut self) -> Result<Next, Error> {
        let deleted = self.run_once().await?;
        Ok(if deleted < u64::from(ROWS) { Next::Wait } else { Next::Again })
    }
}
