//! Taking over what an earlier owner left on the engine.

use super::{Drive, Ended, Leftover};
use crate::{
    orders::{LetGo, Order},
    runtime::{ContainerName, Error, Labels, Listed, Observation, Purpose},
};
use cyberbrain_core::{
    lifecycle::{FailureKind, Outcome, StopReason},
    staging::ContainerState,
};

/// The attempt's container, under our name.
#[derive(Debug)]
pub(super) struct Found {
    pub seen: Seen,
}

/// What it was doing when we took it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Never started.
    Created,
    /// Was started, and may have ended.
    Started,
}

impl Drive {
    /// Looks for the attempt's container under whatever name, and renames it to ours. The rename is the engine's
    /// compare-and-set: from then on, nobody with an older fence can reach it.
    pub(super) async fn find(&mut self) -> Result<Option<Found>, LetGo> {
        loop {
            let listed = tokio::select! {
                () = self.orders.let_go() => return Err(LetGo),
                listed = self.agent.runtime.list_ours(self.agent.instance.id) => listed,
            };
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the engine can't list containers, asking again"
                    );
                    self.pause().await?;
                    continue;
                }
            };
            let Some(container) = self.choose(listed) else { return Ok(None) };
            self.container_id = Some(container.id.to_string());
            if container.name != self.name && !self.rename(&container.name).await? {
                continue;
            }
            match self.agent.runtime.inspect(&self.name).await {
                Observation::Created => return Ok(Some(Found { seen: Seen::Created })),
                Observation::Running { .. } | Observation::Exited(_) => {
                    return Ok(Some(Found { seen: Seen::Started }));
                }
                Observation::Absent => {}
                Observation::Unknown(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the engine does not say what the container does, asking again"
                    );
                    self.pause().await?;
                }
            }
        }
    }

    /// The container that ran, or the newest one. An older one that was never started may be beside it.
    fn choose(&self, listed: Vec<Listed>) -> Option<Listed> {
        listed.into_iter().filter(|container| self.is_ours(container)).max_by_key(|container| {
            let started = container.state != ContainerState::Created;
            (started, container.name.owner().map(|(_, fence)| fence))
        })
    }

    pub(super) fn is_ours(&self, container: &Listed) -> bool {
        match &container.labels {
            Some(Labels { instance, purpose: Purpose::Worker(worker) }) => {
                *instance == self.agent.instance.id && worker.attempt_id == self.job.attempt
            }
            Some(Labels { purpose: Purpose::Helper { .. }, .. }) | None => false,
        }
    }

    /// Whether it has our name now; if not, look again.
    async fn rename(&mut self, from: &ContainerName) -> Result<bool, LetGo> {
        match self.agent.runtime.rename(from, &self.name).await {
            Ok(()) => {
                tracing::info!(%from, to = %self.name, "took over a container");
                Ok(true)
            }
            Err(error @ (Error::NotFound { .. } | Error::NameTaken { .. })) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the container moved, looking again"
                );
                self.pause().await?;
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the container can't be renamed, trying again"
                );
                self.pause().await?;
                Ok(false)
            }
        }
    }

    /// Goes on where the earlier owner was.
    pub(super) async fn resume(&mut self, found: Found) -> Result<Ended, LetGo> {
        match found.seen {
            Seen::Created => {
                let order = self.orders.current();
                if order > Order::Continue {
                    return Ok(Ended::ordered(order, Leftover::Possible));
                }
                self.start_container().await
            }
            Seen::Started => self.watch(None).await,
        }
    }

    /// The earlier owner was stopping it, or could not tell what became of it.
    pub(super) async fn stop_found(&mut self, found: Found) -> Result<Ended, LetGo> {
        let reason = self.job.stop_reason.unwrap_or(StopReason::LauncherStopping);
        match found.seen {
            Seen::Created => Ok(Ended::NeverRan {
                outcome: match reason {
                    StopReason::Cancel => Outcome::Cancelled,
                    StopReason::RunTimeout => Outcome::Failed(FailureKind::RunTimeout),
                    StopReason::LogQuota => Outcome::Failed(FailureKind::LogQuota),
                    StopReason::LauncherStopping => Outcome::Failed(FailureKind::LauncherStopped),
                },
                detail: None,
                refused: false,
                leftover: Leftover::Possible,
            }),
            Seen::Started => self.watch(Some(reason)).await,
        }
    }
}
