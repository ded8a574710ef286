//! A started container until its end: its output, its time limit, and the orders that stop it.

use std::{future::Future, pin::Pin, time::Duration};

use cyberbrain_common::metric;
use cyberbrain_core::lifecycle::{AttemptState, Event, StopReason};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Drive, Ended,
    follow::{Followed, Follower},
};
use crate::{
    agent::ENGINE_PAUSE,
    orders::{LetGo, Order},
    record::{Record, WriteOnceError},
    runtime::{Exit, Observation},
};

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long the last lines of output may take to arrive after the end.
const LAST_LINES: Duration = Duration::from_secs(20);

/// What ended a wait.
enum Happened {
    Observed(Observation),
    Ordered(Order),
    TimeIsUp,
    TooMuchOutput,
    Recorded(Result<(), LetGo>),
    Stopped(Result<(), crate::runtime::Error>),
}

impl Drive {
    /// Stays with the container until it has ended. `stop` is why it is being stopped already, if it is.
    pub(super) async fn watch(&mut self, stop: Option<StopReason>) -> Result<Ended, LetGo> {
        let mut follower = Follower::start(&self.agent, &self.job, &self.dir, &self.name);
        let watched = {
            let _running = Running::begin();
            self.watch_with(stop, &mut follower).await
        };
        match watched {
            Ok(Watched::Exited { exit, stop }) => {
                let Followed { signs } = follower.finish(LAST_LINES).await;
                Ok(Ended::Exited { exit, stop, signs })
            }
            Ok(Watched::Missing { stop }) => {
                follower.abandon().await;
                self.missing(stop).await
            }
            Err(LetGo) => {
                follower.abandon().await;
                Err(LetGo)
            }
        }
    }

    async fn watch_with(
        &mut self,
        mut stop: Option<StopReason>,
        follower: &mut Follower,
    ) -> Result<Watched, LetGo> {
        let deadline = self.deadline().await;
        let mut level = self.orders.current().min(Order::Continue);
        let mut recording = self.record_start();
        let mut stopping: Option<Pending<Result<(), crate::runtime::Error>>> = None;
        if stop.is_some() {
            stopping = Some(self.stop_call());
        }
        loop {
            let mut orders = self.orders.clone();
            let quota = stop.is_none();
            let happened = {
                let wait = self.agent.runtime.wait(&self.name);
                tokio::select! {
                    order = orders.above(level) => Happened::Ordered(order),
                    seen = wait => Happened::Observed(seen),
                    () = sleep_until(deadline), if stop.is_none() => Happened::TimeIsUp,
                    () = follower.over_quota(), if quota => Happened::TooMuchOutput,
                    recorded = maybe(&mut recording), if recording.is_some() => Happened::Recorded(recorded),
                    stopped = maybe(&mut stopping), if stopping.is_some() => Happened::Stopped(stopped),
                }
            };
            let reason = match happened {
                Happened::Observed(Observation::Exited(exit)) => return Ok(Watched::Exited { exit, stop }),
                Happened::Observed(Observation::Absent) => return Ok(Watched::Missing { stop }),
                Happened::Observed(Observation::Created | Observation::Running { .. }) => {
                    self.pause().await?;
                    continue;
                }
                Happened::Observed(Observation::Unknown(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the engine does not say what the container does, asking again"
                    );
                    self.pause().await?;
                    continue;
                }
                Happened::Recorded(recorded) => {
                    recording = None;
                    recorded?;
                    continue;
                }
                Happened::Stopped(Ok(())) => {
                    stopping = None;
                    continue;
                }
                Happened::Stopped(Err(error)) => {
                    // By name: *not found* is seen by the wait as well.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "stopping the container failed, trying again"
                    );
                    stopping = Some(self.stop_call_later());
                    continue;
                }
                Happened::Ordered(Order::LetGo) => return Err(LetGo),
                Happened::Ordered(order) => {
                    level = order;
                    if order == Order::StopForExit {
                        StopReason::LauncherStopping
                    } else {
                        StopReason::Cancel
                    }
                }
                Happened::TimeIsUp => StopReason::RunTimeout,
                Happened::TooMuchOutput => StopReason::LogQuota,
            };
            if stop.is_none() {
                stop = Some(reason);
                // The start is on record first, if the database answers.
                recording = None;
                self.record_stop(reason).await?;
                stopping = Some(self.stop_call());
            }
        }
    }

    /// Until when it may run. An adopter counts from the engine's start time.
    async fn deadline(&self) -> Instant {
        let limit = Duration::from_secs(self.job.spec.timeouts.run_seconds.into());
        let ran = match self.agent.runtime.inspect(&self.name).await {
            Observation::Running { started_at: Some(started_at) } => {
                (chrono::Utc::now() - started_at).to_std().unwrap_or_default()
            }
            Observation::Running { started_at: None }
            | Observation::Absent
            | Observation::Created
            | Observation::Exited(_)
            | Observation::Unknown(_) => Duration::ZERO,
        };
        Instant::now() + limit.saturating_sub(ran)
    }

    /// The start goes on record while the container runs already.
    fn record_start(&self) -> Option<Pending<Result<(), LetGo>>> {
        let starting = matches!(self.job.state, AttemptState::Accepted | AttemptState::Starting);
        starting.then(|| {
            let agent = std::sync::Arc::clone(&self.agent);
            let owned = self.owned.clone();
            let mut orders = self.orders.clone();
            let step = self.event(Event::Started { fence: self.job.fence });
            let record = Record { step: Some(step), ..Record::default() };
            Box::pin(async move { agent.write(&owned, &record, &mut orders).await.map(drop) })
                as Pending<Result<(), LetGo>>
        })
    }

    /// Says why it is stopped. A database that does not answer must not keep a container running.
    async fn record_stop(&mut self, reason: StopReason) -> Result<(), LetGo> {
        tracing::info!(%reason, "stopping the container");
        let fence = self.job.fence;
        if matches!(self.job.state, AttemptState::Accepted | AttemptState::Starting) {
            let started = Record { step: Some(self.event(Event::Started { fence })), ..Record::default() };
            if self.agent.write_once(&self.owned, &started).await == Err(WriteOnceError::Gone) {
                return Err(LetGo);
            }
        }
        let record = Record { step: Some(self.event(Event::Stop { fence, reason })), ..Record::default() };
        match self.agent.write_once(&self.owned, &record).await {
            Ok(()) => Ok(()),
            Err(WriteOnceError::Gone) => Err(LetGo),
            Err(WriteOnceError::NotWritten) => {
                tracing::warn!(%reason, "the stop is not on record: the database does not answer");
                Ok(())
            }
        }
    }

    fn stop_call(&self) -> Pending<Result<(), crate::runtime::Error>> {
        let agent = std::sync::Arc::clone(&self.agent);
        let name = self.name.clone();
        let grace = Duration::from_secs(self.job.spec.timeouts.stop_grace_seconds.into());
        Box::pin(async move { agent.runtime.stop(&name, grace).await })
    }

    fn stop_call_later(&self) -> Pending<Result<(), crate::runtime::Error>> {
        let call = self.stop_call();
        Box::pin(async move {
            sleep(ENGINE_PAUSE).await;
            call.await
        })
    }

    /// Nothing has our name. Either somebody took it over, or it was removed under us.
    pub(super) async fn missing(&mut self, stop: Option<StopReason>) -> Result<Ended, LetGo> {
        self.agent.still_ours(&self.owned, &mut self.orders).await?;
        Ok(Ended::Missing { stop })
    }
}

/// How the watch ended.
enum Watched {
    Exited { exit: Exit, stop: Option<StopReason> },
    Missing { stop: Option<StopReason> },
}

/// The future inside; only polled where there is one.
async fn maybe<T>(pending: &mut Option<Pending<T>>) -> T {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// Counts this container as running for as long as it lives.
struct Running;

impl Running {
    fn begin() -> Self {
        metrics::gauge!(metric::CONTAINERS_RUNNING).increment(1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!(metric::CONTAINERS_RUNNING).decrement(1);
    }
}
