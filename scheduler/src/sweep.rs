//! `sweep`: moving everything that a query finds, page by page, each page in a transaction of its own.
//!
//! Guarantees progress: a page continues after the last one, and a page that fails is taken up in smaller pieces until
//! the row that can't be moved is found, logged and passed over. Bounded: what is left is found by the next pass.

use cyberbrain_common::db::{Conn, Error, Pool};
use tracing::error;

use crate::{
    moves::{self, Move},
    pass::told,
};

/// Rows per transaction.
const PAGE: u32 = 200;
/// Transactions per sweep.
const PAGES: u32 = 100;

/// A query for what is to be moved, and how.
pub(crate) trait Sweep: Sync {
    const NAME: &'static str;
    type Row: std::fmt::Debug + Send + Sync;
    type Position: Copy + Send + Sync;

    /// Locks and reads at most `limit` rows that come after `after`.
    fn page(
        &self,
        tx: &mut Conn,
        after: Option<Self::Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Error>> + Send;

    fn position(row: &Self::Row) -> Self::Position;

    /// What is to be done about a row; `None`: nothing.
    fn to_move(&self, row: &Self::Row) -> Option<Move>;
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Swept {
    /// Moved.
    pub moved: u64,
    /// Found, but somebody was faster.
    pub refused: u64,
    /// Could not be moved; logged.
    pub failed: u64,
}

/// Sweeps.
///
/// # Errors
/// When the database can't be reached, or the query itself fails.
pub(crate) async fn sweep<S: Sweep>(pool: &Pool, query: &S) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    let mut after = None;
    let mut limit = PAGE;
    for _ in 0..PAGES {
        let mut tx = pool.begin().await?;
        let rows = query.page(&mut tx, after, limit).await?;
        let Some(last) = rows.last() else { break };
        let moves: Vec<Move> = rows.iter().filter_map(|row| query.to_move(row)).collect();
        let outcome = match moves::apply(&mut tx, &moves).await {
            Ok(outcomes) => tx.commit().await.map(|()| outcomes).map_err(Error::from),
            Err(error) => {
                // Now, not some time after the drop: the next page skips what is still locked.
                tx.rollback().await?;
                Err(error)
            }
        };
        match outcome {
            Ok(outcomes) => {
                let moved = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
                swept.moved += as_count(moved);
                swept.refused += as_count(outcomes.len() - moved);
                if rows.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                    break;
                }
                after = Some(S::position(last));
                limit = limit.saturating_mul(2).min(PAGE);
            }
            Err(failure @ Error::Unreachable(_)) => return Err(failure),
            Err(failure) if rows.len() == 1 => {
                error!(sweep = S::NAME, row = ?last, error = told(&failure), "one row can't be moved, passing it over");
                swept.failed += 1;
                after = Some(S::position(last));
            }
            Err(_) => limit = u32::try_from(rows.len() / 2).unwrap_or(1).max(1),
        }
    }
    Ok(swept)
}

fn as_count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
