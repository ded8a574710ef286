//! The audit trail's partitions are there before they are needed.

use cyberbrain_common::{
    db::{Error, Pool, retention},
    metric,
};
use tracing::warn;

use crate::pass::{Next, Pass};

/// How far ahead.
const MONTHS: u32 = 3;

/// Makes partitions, and tells when a row found none.
#[derive(Debug)]
pub struct AuditUpkeep {
    pool: Pool,
}

impl AuditUpkeep {
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// One pass. Returns how many partitions were missing.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<u32, Error> {
        let mut connection = self.pool.acquire().await?;
        let strayed = retention::strayed_audit_rows(&mut connection).await?;
        metrics::gauge!(metric::AUDIT_STRAYED_ROWS).set(strayed as f64);
        if strayed > 0 {
            warn!(rows = strayed, "audit rows are outside the partitions of their month");
        }
        retention::ensure_audit_partitions(&mut connection, MONTHS).await
    }
}

impl Pass for AuditUpkeep {
    const NAME: &'static str = "audit upkeep";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}
