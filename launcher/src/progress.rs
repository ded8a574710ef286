//! Progress of workers on its way to the database: the newest of each attempt, at most once a second, all of them in
//! one statement. Losing one is harmless: the next one says more.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cyberbrain_common::db::{
    Pool,
    supervision::{ProgressUpdate, record_progress},
};
use cyberbrain_core::{
    ids::{AttemptId, Fence},
    outcome::Progress,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(1);
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Takes progress from all supervisors.
#[derive(Debug, Default)]
pub(crate) struct ProgressSink(Mutex<HashMap<(AttemptId, Fence), Progress>>);

impl ProgressSink {
    /// Replaces what is waiting for this attempt.
    pub(crate) fn put(&self, attempt: AttemptId, fence: Fence, progress: Progress) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((attempt, fence), progress);
    }

    /// Takes what is still waiting for this attempt, for whoever writes its end.
    pub(crate) fn take(&self, attempt: AttemptId, fence: Fence) -> Option<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(attempt, fence))
    }

    fn drain(&self) -> Vec<ProgressUpdate> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .drain()
            .map(|((attempt, fence), progress)| ProgressUpdate { attempt, fence, progress })
            .collect()
    }

    /// Writes until `shutdown`.
    pub(crate) async fn run(&self, pool: &Pool, shutdown: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shutdown.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => {}
            }
            let updates = self.drain();
            if updates.is_empty() {
                continue;
            }
            let write = async { record_progress(&mut *pool.acquire().await?, &updates).await };
            match timeout(WRITE_LIMIT, write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "progress not written");
                }
                Err(_) => tracing::debug!("progress not written in time"),
            }
        }
    }
}
