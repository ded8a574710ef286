//! Hearing of offers. Every launcher of a host hears of each, so that the less loaded one can take it; the queue's task
//! itself goes to one of them only.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::offers::hosts_with_offers,
    queue::{self, Queue},
};
use cyberbrain_core::ids::HostId;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;

const PERIOD: Duration = Duration::from_secs(1);
/// Every so many looks the tasks that nobody consumes are dismissed.
const DISMISS_EVERY: u32 = 10;
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Wakes the agent whose host gets an offer, until `shutdown`.
pub(crate) async fn hear_of_offers(agents: Vec<Arc<Agent>>, shutdown: CancellationToken) {
    let Some(pool) = agents.first().map(|agent| agent.pool.clone()) else { return };
    let by_host: HashMap<HostId, Arc<Agent>> =
        agents.iter().map(|agent| (agent.host, Arc::clone(agent))).collect();
    let mut missed = queue::arrivals(&pool, move |queue| match queue {
        Queue::Launch(host) => {
            if let Some(agent) = by_host.get(&host) {
                agent.offers.notify_one();
            }
        }
        Queue::Runs | Queue::RunJobs => {}
    });
    loop {
        tokio::select! {
            () = missed.next() => {}
            () = shutdown.cancelled() => return,
        }
        for agent in &agents {
            agent.offers.notify_one();
        }
    }
}

/// Finds offers by looking, where one process plays more hosts than it can have queue consumers for, and dismisses the
/// tasks that spoke of them.
pub(crate) async fn look_for_offers(agents: Vec<Arc<Agent>>, shutdown: CancellationToken) {
    let Some(pool) = agents.first().map(|agent| agent.pool.clone()) else { return };
    let hosts: Vec<_> = agents.iter().map(|agent| agent.host).collect();
    let queues: Vec<_> = hosts.iter().map(|host| Queue::Launch(*host)).collect();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(DISMISS_EVERY)
            && let Err(error) = queue::dismiss(&pool, &queues).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "tasks can't be dismissed");
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
                tracing::debug!(error = &error as &dyn std::error::Error, "offers can't be looked for");
            }
            Err(_) => tracing::debug!("offers can't be looked for in time"),
        }
    }
}
