//! The guard's loop: once a second it reads the launchers' records, asks the rule, and has the engine stop what is due.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use cyberbrain_common::{boot_clock, metric};
use cyberbrain_core::ids::InstanceId;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    record::{GuardRecord, Records},
    rule::{Broken, InstanceView, Known},
    stops::Stops,
};
use crate::runtime::{self, EngineIdentity, WorkerRuntime};

const PERIOD: Duration = Duration::from_secs(1);
/// How often the engine is looked at while there is nothing to do.
const LOOK_PERIOD: Duration = Duration::from_secs(4);

/// Watches until `shutdown`, whether or not the engine answers.
pub(super) async fn watch(
    records: &Records,
    engine: &Arc<dyn WorkerRuntime>,
    identity: EngineIdentity,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watchman = Watchman::new(records, engine, identity);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        watchman.look().await;
    }
}

/// What the engine has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Answers,
    /// When it answers again it may be another one.
    Away,
}

/// What is remembered from one look to the next.
pub(super) struct Watchman<'a> {
    records: &'a Records,
    engine: &'a Arc<dyn WorkerRuntime>,
    identity: EngineIdentity,
    state: Engine,
    looked: Option<Instant>,
    known: Known,
    silent: BTreeSet<InstanceId>,
    stops: Stops,
}

impl<'a> Watchman<'a> {
    pub(super) fn new(
        records: &'a Records,
        engine: &'a Arc<dyn WorkerRuntime>,
        identity: EngineIdentity,
    ) -> Self {
        Self {
            records,
            engine,
            identity,
            state: Engine::Answers,
            looked: None,
            known: Known::default(),
            silent: BTreeSet::new(),
            stops: Stops::default(),
        }
    }

    /// One look. Every call in it is bounded in time.
    pub(super) async fn look(&mut self) {
        let now_ms = self.read_records();
        let instances = self.known.instances(&self.identity, now_ms);
        let longest = instances.iter().map(|instance| instance.silence).max().unwrap_or_default();
        metrics::gauge!(metric::GUARD_SILENCE).set(longest.as_secs_f64());
        self.tell(&instances);
        for instance in instances.iter().filter(|instance| instance.is_silent()) {
            self.stop_due(instance).await;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_PERIOD) {
            self.look_at_engine(instances.first().map(|instance| instance.id)).await;
        }
    }

    /// Reads and tidies the launchers' records; the boot-time clock after that.
    fn read_records(&mut self) -> u64 {
        let read = match self.records.read_contacts() {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the launchers' records can't be listed"
                );
                return boot_clock::now_ms();
            }
        };
        let now_ms = boot_clock::now_ms();
        for (path, broken) in self.known.refresh(read, &self.identity.boot_id, now_ms) {
            let path = path.display();
            match broken {
                Broken::Unreadable(error) => {
                    tracing::warn!(%path, error = &error as &dyn std::error::Error, "a launcher's record can't be read");
                }
                Broken::FromTheFuture => tracing::warn!(%path, "a launcher's record is later than now"),
            }
        }
        for path in self.known.outdated(&self.identity, now_ms) {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), error = &error as &dyn std::error::Error, "an outdated record can't be removed");
            }
        }
        now_ms
    }

    /// Says who fell silent and who is back.
    fn tell(&mut self, instances: &[InstanceView]) {
        let silent: BTreeSet<_> =
            instances.iter().filter(|instance| instance.is_silent()).map(|instance| instance.id).collect();
        for id in silent.difference(&self.silent) {
            tracing::warn!(instance.id = %id, "this host is out of contact");
        }
        for id in self.silent.difference(&silent) {
            tracing::info!(instance.id = %id, "this host is not out of contact any more");
        }
        self.silent = silent;
    }

    async fn stop_due(&mut self, instance: &InstanceView) {
        let listed = self.engine.list_ours(instance.id).await;
        if let Some(listed) = self.heard(listed) {
            self.stops.begin(self.engine, instance.due(&listed), instance.silence);
        }
    }

    /// Has the engine answer something small; only then does this guard show that it lives.
    async fn look_at_engine(&mut self, instance: Option<InstanceId>) {
        // Nobody has the nil instance.
        let listed = self.engine.list_ours(instance.unwrap_or_else(|| Uuid::nil().into())).await;
        if self.heard(listed).is_none() {
            return;
        }
        match self.state {
            Engine::Answers => {}
            Engine::Away => {
                let identity = self.engine.identify().await;
                let Some(identity) = self.heard(identity) else { return };
                tracing::info!(engine.id = identity.engine_id, "the container engine answers again");
                self.identity = identity;
                self.state = Engine::Answers;
            }
        }
        self.looked = Some(Instant::now());
        let sign = GuardRecord {
            boot_id: self.identity.boot_id.clone(),
            engine_id: self.identity.engine_id.clone(),
            seen_at_boottime_ms: boot_clock::now_ms(),
        };
        if let Err(error) = self.records.write_guard(&sign) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the guard's sign of life can't be written"
            );
        }
    }

    /// The engine's answer; the first failure is told.
    fn heard<T>(&mut self, answer: Result<T, runtime::Error>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                if self.state == Engine::Answers {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the container engine does not answer, trying again"
                    );
                }
                self.state = Engine::Away;
                self.looked = None;
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "watchman_tests.rs"]
mod tests;
