//! Takes offers: its share at once, what the siblings leave a moment later.

use std::{sync::Arc, time::Duration};

use cyberbrain_common::db::{self, offers, supervision};
use sqlx::Connection;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Agent,
    drive::{self, Origin},
};

/// What siblings get to take their share.
const COURTESY: Duration = Duration::from_millis(50);
/// One look at the offers.
const TAKE_LIMIT: Duration = Duration::from_secs(10);

/// Takes offers whenever there may be some, until `shutdown`.
pub(crate) async fn run(agent: Arc<Agent>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = agent.offers.notified() => {}
            () = shutdown.cancelled() => return,
        }
        if !*agent.reconciled.borrow() {
            // The first reconcile asks again.
            continue;
        }
        match take_share(&agent).await {
            Ok(Left(0)) => {}
            Ok(Left(_)) => {
                tokio::select! {
                    () = sleep(COURTESY) => {}
                    () = shutdown.cancelled() => return,
                }
                if let Err(error) = take(&agent, u32::MAX).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "offers can't be taken; the next contact tries again"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "offers can't be taken; the next contact tries again"
                );
            }
        }
    }
}

/// Offers that were left to siblings.
struct Left(u32);

async fn take_share(agent: &Arc<Agent>) -> Result<Left, db::Error> {
    let look = async {
        let mut connection = agent.pool.acquire().await?;
        offers::share(&mut connection, agent.host, agent.launcher).await
    };
    let share = bounded(look).await?;
    if share.offers == 0 {
        return Ok(Left(0));
    }
    let taken = take(agent, share.part()).await?;
    Ok(Left(share.offers.saturating_sub(taken)))
}

/// Accepts at most `limit` offers, and no more than there is room for; how many it were.
async fn take(agent: &Arc<Agent>, limit: u32) -> Result<u32, db::Error> {
    let driven = u32::try_from(agent.register.len()).unwrap_or(u32::MAX);
    let limit = limit.min(agent.limits.attempts.saturating_sub(driven));
    if limit == 0 {
        return Ok(0);
    }
    let _taking = agent.taking.lock().await;
    let work = async {
        let mut connection = agent.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        let taken = offers::accept(&mut tx, agent.host, agent.launcher, limit, &Agent::actor()).await?;
        let ids: Vec<_> = taken.iter().map(|taken| taken.attempt).collect();
        let jobs = supervision::assignments(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(jobs)
    };
    // If the answer to the commit is lost, reconciliation finds what is ours and not driven.
    let jobs = bounded(work).await?;
    let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    for job in jobs {
        drive::begin(agent, job, Origin::Offer);
    }
    Ok(count)
}

async fn bounded<T>(work: impl Future<Output = Result<T, db::Error>>) -> Result<T, db::Error> {
    timeout(TAKE_LIMIT, work).await.unwrap_or(Err(db::Error::Unreachable(sqlx::Error::PoolTimedOut)))
}
