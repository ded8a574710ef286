//! Calls on their way to the database: put down when they end, written in batches soon after.
//!
//! A batch that can't be written waits until the database answers again; its rows have their ids already, so trying
//! twice writes once. Bounded: with 20,000 calls waiting, further ones are counted as lost, aloud.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cyberbrain_common::{
    db::{
        self, Pool,
        llm_calls::{LlmCall, record},
    },
    metric,
    wake::Backoff,
};
use metrics::counter;
use sqlx::Connection;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const MOST_WAITING: usize = 20_000;
const MOST_AT_ONCE: usize = 500;
/// Calls that end together are written together.
const GATHER: Duration = Duration::from_millis(20);
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long the last rows may take when the launcher ends.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// Takes calls from all connections.
#[derive(Debug)]
pub(super) struct Ledger {
    waiting: Mutex<Vec<LlmCall>>,
    some: Notify,
    put: AtomicU64,
    done: watch::Sender<u64>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            some: Notify::new(),
            put: AtomicU64::new(0),
            done: watch::Sender::new(0),
        }
    }

    /// Puts down one call. Never waits.
    pub(super) fn put(&self, call: LlmCall) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST_WAITING {
                drop(waiting);
                lost(1, "too many calls wait for the database");
                return;
            }
            waiting.push(call);
            self.put.fetch_add(1, Ordering::Release);
        }
        self.some.notify_one();
    }

    /// Until what has been put down so far is written.
    pub(super) async fn settled(&self) {
        let put = self.put.load(Ordering::Acquire);
        // The sender is ours, so it is not gone.
        let _ = self.done.subscribe().wait_for(|done| *done >= put).await;
    }

    /// Writes until `stop`, and then what is left.
    pub(super) async fn write(&self, pool: &Pool, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.some.notified() => sleep(GATHER).await,
                () = stop.cancelled() => {}
            }
            tokio::select! {
                () = self.write_waiting(pool) => {}
                () = stop.cancelled() => {}
            }
        }
        if timeout(LAST_LIMIT, self.write_waiting(pool)).await.is_err() {
            let left = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
            lost(left, "the launcher ended before they could be written");
        }
    }

    /// Rows leave the list only when they are written: this may be dropped at any point.
    async fn write_waiting(&self, pool: &Pool) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let batch: Vec<LlmCall> = {
                let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.iter().take(MOST_AT_ONCE).cloned().collect()
            };
            if batch.is_empty() {
                return;
            }
            match timeout(WRITE_LIMIT, write_batch(pool, &batch)).await {
                Ok(Ok(())) => self.forget(batch.len()),
                Ok(Err(error @ db::Error::Constraint { .. })) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "calls are refused by the database"
                    );
                    lost(batch.len(), "the database refused them");
                    self.forget(batch.len());
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "calls can't be written, trying again"
                    );
                    sleep(backoff.next_pause()).await;
                }
                Err(_) => tracing::warn!("calls can't be written in time, trying again"),
            }
        }
    }

    /// The first ones are dealt with.
    fn forget(&self, count: usize) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..count);
        self.done.send_modify(|done| *done += count as u64);
    }
}

async fn write_batch(pool: &Pool, batch: &[LlmCall]) -> Result<(), db::Error> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    record(&mut tx, batch).await?;
    tx.commit().await?;
    Ok(())
}

fn lost(count: usize, why: &'static str) {
    if count > 0 {
        tracing::error!(count, why, "calls to language models are not on record");
        counter!(metric::LLM_ROWS_LOST).increment(count as u64);
    }
}
