//! Which attempts may call now, and what each has used.
//!
//! An attempt is looked up when its worker calls for the first time, and all that are known are looked up again every
//! second: one that has ended is forgotten, and its open calls end. A database that does not answer changes nothing for
//! those that are known. A launcher closes its own attempts at once, when their end is stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cyberbrain_common::db::{
    Pool,
    llm_calls::{OpenAttempt, open_attempts},
};
use cyberbrain_core::ids::{AttemptId, RunJobId};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    budget::{Limits, Use},
    refusal::{Reason, Refusal},
};

const LOOK_PERIOD: Duration = Duration::from_secs(1);
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// An attempt that has not called for this long is looked up when it calls again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The attempts that have called lately.
#[derive(Debug)]
pub(super) struct Attempts {
    pool: Pool,
    limits: Limits,
    known: Mutex<HashMap<AttemptId, Arc<Entry>>>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Entry {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    /// Its open calls end with it.
    pub ended: CancellationToken,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Debug)]
struct State {
    usage: Use,
    called_at: Instant,
}

/// Whether an attempt has called here lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
}

/// A place among an attempt's calls; given back when dropped.
#[derive(Debug)]
pub(super) struct Admitted(Arc<Entry>);

impl Attempts {
    pub(super) fn new(pool: Pool, limits: Limits) -> Self {
        Self { pool, limits, known: Mutex::default() }
    }

    /// Lets one more call of this attempt begin.
    ///
    /// # Errors
    /// When the attempt is not open, has spent its budget or has too many calls open, or can't be looked up.
    pub(super) async fn admit(&self, attempt: AttemptId) -> Result<Admitted, Refusal> {
        let entry = self.find(attempt).await?;
        {
            let mut state = entry.state();
            self.limits.admit(&state.usage)?;
            state.usage.open += 1;
            state.called_at = Instant::now();
        }
        Ok(Admitted(entry))
    }

    /// # Errors
    /// When the attempt is not open, or can't be looked up.
    pub(super) async fn find(&self, attempt: AttemptId) -> Result<Arc<Entry>, Refusal> {
        if let Some(entry) = self.lock().get(&attempt) {
            return Ok(Arc::clone(entry));
        }
        match self.look_up(&[attempt]).await {
            Some(open) => {
                let open = open.first().ok_or_else(|| {
                    Refusal::new(Reason::AttemptEnded, "the attempt of this token has ended")
                })?;
                // Somebody may have been quicker; then theirs counts.
                Ok(Arc::clone(self.lock().entry(attempt).or_insert_with(|| Arc::new(Entry::new(*open)))))
            }
            None => Err(Refusal::new(
                Reason::NoDatabase,
                "whether this attempt is open can't be looked up: the database does not answer; try again",
            )),
        }
    }

    /// Ends the attempt's calls and takes none any more, as far as this launcher is concerned.
    pub(super) fn close(&self, attempt: AttemptId) {
        if let Some(entry) = self.lock().remove(&attempt) {
            entry.ended.cancel();
        }
    }

    /// Until no call of this attempt is open here.
    pub(super) async fn idle(&self, attempt: AttemptId) -> Known {
        let Some(entry) = self.lock().get(&attempt).cloned() else { return Known::No };
        loop {
            let idle = entry.idle.notified();
            if entry.state().usage.open == 0 {
                return Known::Yes;
            }
            idle.await;
        }
    }

    /// Keeps what is known up to date, until `stop`.
    pub(super) async fn keep_up(&self, stop: CancellationToken) {
        let mut ticks = interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            self.look_again().await;
        }
    }

    async fn look_again(&self) {
        let now = Instant::now();
        let ids: Vec<AttemptId> = {
            let mut known = self.lock();
            known.retain(|_, entry| {
                let state = entry.state();
                state.usage.open > 0 || now.duration_since(state.called_at) < FORGET_AFTER
            });
            known.keys().copied().collect()
        };
        if ids.is_empty() {
            return;
        }
        let Some(open) = self.look_up(&ids).await else { return };
        let open: HashMap<AttemptId, OpenAttempt> = open.into_iter().map(|row| (row.attempt, row)).collect();
        for id in ids {
            match open.get(&id) {
                Some(row) => {
                    if let Some(entry) = self.lock().get(&id) {
                        entry.state().usage.recorded = row.tokens;
                    }
                }
                None => self.close(id),
            }
        }
    }

    /// `None` if the database does not answer.
    async fn look_up(&self, ids: &[AttemptId]) -> Option<Vec<OpenAttempt>> {
        let look = async { open_attempts(&mut *self.pool.acquire().await?, ids).await };
        match timeout(LOOK_LIMIT, look).await {
            Ok(Ok(open)) => Some(open),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "attempts can't be looked up for the gateway"
                );
                None
            }
            Err(_) => {
                tracing::warn!("attempts can't be looked up for the gateway in time");
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Arc<Entry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(open: OpenAttempt) -> Self {
        let usage = Use { recorded: open.tokens, counted: open.tokens, open: 0 };
        Self {
            attempt: open.attempt,
            run_job: open.run_job,
            ended: CancellationToken::new(),
            state: Mutex::new(State { usage, called_at: Instant::now() }),
            idle: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    pub(super) fn entry(&self) -> &Entry {
        &self.0
    }

    /// Adds what a call has used.
    pub(super) fn used(&self, tokens: u32) {
        let mut state = self.0.state();
        state.usage.counted = state.usage.counted.saturating_add(tokens.into());
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.usage.open -= 1;
        state.called_at = Instant::now();
        if state.usage.open == 0 {
            drop(state);
            self.0.idle.notify_waiters();
        }
    }
}
