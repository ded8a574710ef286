//! Finding offers by looking, where one process plays more hosts than it can have queue consumers for.

use std::{sync::Arc, time::Duration};

use cyberbrain_common::db::offers::hosts_with_offers;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;

const PERIOD: Duration = Duration::from_millis(200);
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Wakes the agents whose hosts have offers, until `shutdown`.
pub(crate) async fn look_for_offers(agents: Vec<Arc<Agent>>, shutdown: CancellationToken) {
    let Some(pool) = agents.first().map(|agent| agent.pool.clone()) else { return };
    let hosts: Vec<_> = agents.iter().map(|agent| agent.host).collect();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let look = async { hosts_with_offers(&mut *pool.acquire().await?, &hosts).await };
        match timeout(LOOK_LIMIT, look).await {
            Ok(Ok(found)) => {
                for agent in agents.iter().filter(|agent| found.contains(&agent.host)) {
                    agent.offers.notify_one();
                }
            }
            // Contact finds them too, a little later.
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "offers can't be looked for")
            }
            Err(_) => tracing::debug!("offers can't be looked for in time"),
        }
    }
}
