//! The stops that are under way: at most one per worker, and a bounded number at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use cyberbrain_common::metric;
use tokio::task::{Id, JoinSet};

use super::rule::Stop;
use crate::runtime::{ContainerName, Error, WorkerRuntime};

/// More than a host has workers by default. Whoever has to wait gets less grace.
const AT_ONCE: usize = 256;

/// Stops under way. Dropping it abandons the waiting for them; what the engine was told, it does.
#[derive(Debug, Default)]
pub(super) struct Stops {
    tasks: JoinSet<()>,
    names: HashMap<Id, ContainerName>,
}

impl Stops {
    /// Begins those that are not under way yet, as far as there is room; the rest is for the next call. A worker that
    /// an earlier stop did not end is stopped again.
    pub(super) fn begin(&mut self, engine: &Arc<dyn WorkerRuntime>, due: Vec<Stop>, silence: Duration) {
        self.forget_ended();
        let under_way: BTreeSet<ContainerName> = self.names.values().cloned().collect();
        let room = AT_ONCE.saturating_sub(under_way.len());
        for stop in due.into_iter().filter(|stop| !under_way.contains(&stop.name)).take(room) {
            tracing::error!(
                container.name = %stop.name,
                silence_s = silence.as_secs(),
                grace_s = stop.grace.as_secs(),
                "this host was out of contact for too long: stopping a worker"
            );
            let name = stop.name.clone();
            let task = self.tasks.spawn(carry_out(Arc::clone(engine), stop));
            self.names.insert(task.id(), name);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&mut self) -> usize {
        self.forget_ended();
        self.names.len()
    }

    fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => error.id(),
            };
            self.names.remove(&id);
        }
    }
}

/// The engine sends SIGTERM and, after the grace, SIGKILL. If it fails at that, SIGKILL is tried at once.
async fn carry_out(engine: Arc<dyn WorkerRuntime>, stop: Stop) {
    let Stop { name, grace } = stop;
    let first = match engine.stop(&name, grace).await {
        Ok(()) => return stopped(&name),
        // It ended and was removed, or its launcher is back and has handed it on.
        Err(Error::NotFound { .. }) => return,
        Err(error) => error,
    };
    tracing::warn!(container.name = %name, error = &first as &dyn std::error::Error, "the engine could not stop a worker, killing it");
    match engine.kill(&name).await {
        Ok(()) => stopped(&name),
        Err(Error::NotFound { .. }) => {}
        Err(error) => {
            tracing::error!(container.name = %name, error = &error as &dyn std::error::Error, "a worker could not be killed, trying again");
        }
    }
}

fn stopped(name: &ContainerName) {
    metrics::counter!(metric::GUARD_STOPS).increment(1);
    tracing::warn!(container.name = %name, "worker stopped");
}
