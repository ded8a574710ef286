//! Contact: every five seconds one statement on a connection of its own, whatever else goes on.
//!
//! It shows that we are alive, and its answer says what changed behind our back. One task does it for all hosts that
//! this process plays.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cyberbrain_common::{
    boot_clock,
    db::{
        self, Conn,
        contact::{GuardState, Heard, contact},
    },
    metric,
};
use cyberbrain_core::ids::LauncherId;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{agent::Agent, guard::Beacon, orders::Order};

/// How often.
const PERIOD: Duration = Duration::from_secs(5);
/// One exchange. Longer silence is worth a new connection.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(8);
/// Pause after a failed exchange.
const RETRY: Duration = Duration::from_secs(1);

/// Why contact ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Shutdown,
    /// A launcher's row says that it has ended.
    Ended,
}

/// Keeps contact until `shutdown`.
pub(crate) async fn run(
    url: &str,
    agents: &[Arc<Agent>],
    beacon: &Beacon,
    shutdown: CancellationToken,
) -> End {
    let by_id: HashMap<LauncherId, &Arc<Agent>> =
        agents.iter().map(|agent| (agent.launcher, agent)).collect();
    let ids: Vec<LauncherId> = agents.iter().map(|agent| agent.launcher).collect();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut line = Line { url, connection: None };
    let mut failing = false;
    // Only a launcher that plays many simulated hosts has several agents, and nothing of those can be stopped.
    let mut changes = if let [agent] = agents { Some(agent.register.changes()) } else { None };
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changed(&mut changes) => {
                // An attempt that the guard does not know gets the least of limits, should this process die now.
                beacon.guard();
                continue;
            }
            () = shutdown.cancelled() => return End::Shutdown,
        }
        let held: Vec<_> = agents.iter().flat_map(|agent| agent.register.held()).collect();
        let sent_ms = boot_clock::now_ms();
        let guard = beacon.guard();
        match line.exchange(&ids, guard, &held).await {
            Ok(answers) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("in contact again");
                }
                let missing = answers.len() < ids.len();
                beacon.contacted(sent_ms);
                metrics::gauge!(metric::LAUNCHER_LAST_CONTACT).set(sent_ms as f64 / 1_000.0);
                for heard in answers {
                    if let Some(agent) = by_id.get(&heard.launcher) {
                        hear(agent, &heard, &held);
                    }
                }
                if missing {
                    return End::Ended;
                }
            }
            Err(error) => {
                metrics::counter!(metric::LAUNCHER_CONTACT_FAILURES).increment(1);
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "out of contact, trying again");
                }
                ticks.reset_after(RETRY);
            }
        }
    }
}

/// Waits for the next change; forever where nobody watches.
async fn changed(changes: &mut Option<watch::Receiver<usize>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn hear(agent: &Agent, heard: &Heard, held: &[db::contact::Held]) {
    // By the fence that was held when the question was asked: an attempt may have been taken again since then.
    let fence_of = |attempt| {
        held.iter()
            .find(|held| held.launcher == agent.launcher && held.attempt == attempt)
            .map(|held| held.fence)
    };
    for (attempts, order) in [(&heard.cancels, Order::Cancel), (&heard.lost, Order::LetGo)] {
        for attempt in attempts {
            if let Some(fence) = fence_of(*attempt) {
                tracing::info!(attempt.id = %attempt, ?order, "heard about an attempt");
                agent.register.order((*attempt, fence), order);
            }
        }
    }
    if heard.offers > 0 {
        agent.offers.notify_one();
    }
    if heard.orphans > 0 || !heard.lost.is_empty() {
        agent.disorder.notify_one();
    }
}

/// The dedicated connection.
struct Line<'a> {
    url: &'a str,
    connection: Option<Conn>,
}

impl Line<'_> {
    async fn exchange(
        &mut self,
        ids: &[LauncherId],
        guard: GuardState,
        held: &[db::contact::Held],
    ) -> Result<Vec<Heard>, db::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => db::connect(self.url, "cyberbrain-contact").await?,
        };
        // A connection that failed, or whose answer is still to come, is not used again.
        match timeout(EXCHANGE_LIMIT, contact(&mut connection, ids, guard, held)).await {
            Ok(Ok(heard)) => {
                self.connection = Some(connection);
                Ok(heard)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(db::Error::Unreachable(sqlx::Error::PoolTimedOut)),
        }
    }
}
