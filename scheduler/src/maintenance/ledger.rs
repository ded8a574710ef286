//! Looks for a double booking. The database refuses them; this is who would tell if it did not.

use cyberbrain_common::{
    db::{
        Error, Pool,
        plan::{self, Overbooked},
    },
    metric,
};
use tracing::error;

use crate::pass::{Next, Pass};

/// Adds up the live leases of every GPU.
#[derive(Debug)]
pub struct LedgerCheck {
    pool: Pool,
}

impl LedgerCheck {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        // Shown from the start, so that an alert on it can tell "none" from "unknown".
        metrics::counter!(metric::SCHEDULER_DOUBLE_BOOKING).increment(0);
        Self { pool }
    }

    /// One check. Returns the GPUs whose leases are more than they have, or not what their ledger says.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<Vec<Overbooked>, Error> {
        let mut connection = self.pool.acquire().await?;
        let overbooked = plan::overbooked(&mut connection).await?;
        for gpu in &overbooked {
            error!(gpu.uuid = %gpu.gpu, leased_mib = gpu.leased_mib, reserved_mib = gpu.reserved_mib,
                total_mib = gpu.total_mib, "the leases of a GPU don't add up");
        }
        let count = u64::try_from(overbooked.len()).unwrap_or(u64::MAX);
        metrics::counter!(metric::SCHEDULER_DOUBLE_BOOKING).increment(count);
        Ok(overbooked)
    }
}

impl Pass for LedgerCheck {
    const NAME: &'static str = "ledger check";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}
