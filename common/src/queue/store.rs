//! What apalis' worker asks of the database: apalis-postgres' own statements, each bounded in time.
//!
//! Its `PostgresStorage` offers the same, but without time limits, with a fixed batch size and without
//! telling whether a claim is under way; the three together are what makes a worker lose its heartbeat or a
//! notification. Each statement stands alone here, so none needs a transaction.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use apalis::prelude::WorkerContext;
use apalis_core::backend::persistence::{Persistence, TaskEvent};
use apalis_postgres::{Config, PgTask, queries};
use serde_json::Value;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

/// The longest that one statement may take, its connection included.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a worker lost its database.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("the database did not answer in time while {0}")]
    TimedOut(&'static str),
    // With its cause in the text: apalis passes on the text only.
    #[error("the database failed while {0}: {1}")]
    Database(&'static str, apalis_postgres::Error),
}

/// What the parts of one worker know of each other. They run in one task; the atomics are for the compiler.
#[derive(Debug)]
pub(super) struct Load {
    limit: usize,
    in_flight: AtomicUsize,
    claiming: AtomicBool,
    woken: AtomicBool,
}

impl Load {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            in_flight: AtomicUsize::new(0),
            claiming: AtomicBool::new(false),
            woken: AtomicBool::new(false),
        })
    }

    /// How many tasks may be in flight at once.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many tasks may still be taken.
    pub(super) fn free(&self) -> usize {
        self.limit.saturating_sub(self.in_flight.load(Ordering::SeqCst))
    }

    /// A task leaves the buffer. It is in flight until the [`InFlight`] of its handler is dropped.
    pub(super) fn take(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// Something may have been pushed: a claim that began before this does not count.
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
    }

    /// A wake came, and no claim is under way that could answer it.
    pub(super) fn must_claim(&self) -> bool {
        self.woken.load(Ordering::SeqCst) && !self.claiming.load(Ordering::SeqCst)
    }

    fn begin_claim(self: &Arc<Self>) -> Claiming {
        self.woken.store(false, Ordering::SeqCst);
        self.claiming.store(true, Ordering::SeqCst);
        Claiming(Arc::clone(self))
    }
}

struct Claiming(Arc<Load>);

impl Drop for Claiming {
    fn drop(&mut self) {
        self.0.claiming.store(false, Ordering::SeqCst);
    }
}

/// One taken task. Dropping it makes room for another.
pub(super) struct InFlight(pub(super) Arc<Load>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Apalis clones it for each statement; the clones share one connection, and use it one after the other.
#[derive(Clone)]
pub(super) struct Store {
    options: PgConnectOptions,
    /// Empty while a statement runs. One that fails or overruns does not put its connection back, which
    /// closes it: a pool would wait for the answer first.
    idle: Arc<Mutex<Option<PgConnection>>>,
    pub(super) config: Config,
    pub(super) load: Arc<Load>,
}

impl Store {
    pub(super) fn new(options: PgConnectOptions, config: Config, load: Arc<Load>) -> Self {
        Self { options, idle: Arc::default(), config, load }
    }

    /// Says goodbye to the server, if there is still somebody.
    pub(super) async fn close(&self) {
        let idle = self.slot().take();
        if let Some(connection) = idle {
            let _ = tokio::time::timeout(GOODBYE_TIMEOUT, connection.close()).await;
        }
    }

    async fn take(&self) -> Result<PgConnection, apalis_postgres::Error> {
        let idle = self.slot().take();
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(PgConnection::connect_with(&self.options).await?),
        }
    }

    fn put_back(&self, connection: PgConnection) {
        *self.slot() = Some(connection);
    }

    fn slot(&self) -> MutexGuard<'_, Option<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> &str {
        self.config.queue.as_ref()
    }

    async fn prove_alive(
        &self,
        connection: &mut PgConnection,
        worker: &WorkerContext,
    ) -> Result<(), apalis_postgres::Error> {
        queries::keep_alive(connection, self.queue(), worker).await?;
        let window = self.config.orphaned_duration().as_secs();
        queries::reenqueue_orphaned(connection, self.queue(), window).await.map(drop)
    }
}

impl Persistence for Store {
    type Compact = Vec<u8>;
    type Response = Value;
    type Error = StoreError;

    async fn register(&mut self, worker: &WorkerContext) -> Result<(), StoreError> {
        bounded("registering the worker", async {
            let mut connection = self.take().await?;
            // apalis wants a time of this machine here; `prove_alive` overwrites it with the database's.
            let seen = 0_i64.into();
            queries::register_worker(&mut connection, self.queue(), worker, &seen, "cyberbrain").await?;
            self.prove_alive(&mut connection, worker).await?;
            self.put_back(connection);
            Ok(())
        })
        .await
    }

    async fn heartbeat(&mut self, worker: &WorkerContext) -> Result<(), StoreError> {
        bounded("sending a heartbeat", async {
            let mut connection = self.take().await?;
            self.prove_alive(&mut connection, worker).await?;
            self.put_back(connection);
            Ok(())
        })
        .await
    }

    async fn fetch_next(&mut self, worker: &WorkerContext) -> Result<Vec<PgTask>, StoreError> {
        // Never more than can be started at once: while tasks wait in apalis' buffer, its worker neither
        // sends heartbeats nor writes results.
        let room = self.load.free().clamp(1, self.config.batch_size);
        let config = self.config.clone().batch_size(room);
        let _claiming = self.load.begin_claim();
        bounded("claiming tasks", async {
            let mut connection = self.take().await?;
            let tasks = queries::fetch_next(&mut connection, &config, worker).await?;
            self.put_back(connection);
            Ok(tasks)
        })
        .await
    }

    async fn reenqueue_abandoned(
        &mut self,
        tasks: Vec<PgTask>,
        worker: &WorkerContext,
    ) -> Result<u64, StoreError> {
        let ids: Vec<String> =
            tasks.iter().filter_map(|task| task.task_id().map(ToString::to_string)).collect();
        bounded("giving tasks back", async {
            let mut connection = self.take().await?;
            let freed =
                queries::reenqueue_abandoned(&mut connection, self.queue(), worker.name(), &ids).await?;
            self.put_back(connection);
            Ok(freed)
        })
        .await
    }

    async fn handle_events(
        &mut self,
        events: Vec<TaskEvent<Value>>,
        worker: &WorkerContext,
    ) -> Result<(), StoreError> {
        let results: Vec<_> = events
            .iter()
            .filter_map(|event| if let TaskEvent::Complete(result) = event { Some(result) } else { None })
            .collect();
        if results.is_empty() {
            return Ok(());
        }
        bounded("writing results", async {
            let mut connection = self.take().await?;
            queries::handle_results(&mut connection, &results, worker.name()).await?;
            self.put_back(connection);
            Ok(())
        })
        .await
    }

    async fn push_tasks(&mut self, tasks: Vec<PgTask>) -> Result<(), StoreError> {
        bounded("pushing tasks", async {
            let mut connection = self.take().await?;
            queries::push_tasks(&mut connection, self.queue(), tasks).await?;
            self.put_back(connection);
            Ok(())
        })
        .await
    }
}

async fn bounded<T>(
    doing: &'static str,
    statement: impl Future<Output = Result<T, apalis_postgres::Error>> + Send,
) -> Result<T, StoreError> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, statement).await {
        Ok(done) => done.map_err(|source| StoreError::Database(doing, source)),
        Err(_) => Err(StoreError::TimedOut(doing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_during_a_claim_asks_for_another_claim_after_it() {
        let load = Load::new(1);
        assert!(!load.must_claim());
        let claim = load.begin_claim();
        load.wake();
        assert!(!load.must_claim(), "one is under way");
        drop(claim);
        assert!(load.must_claim(), "it began before the wake");
        let answering = load.begin_claim();
        drop(answering);
        assert!(!load.must_claim());
    }

    #[test]
    fn room_is_what_is_not_in_flight() {
        let load = Load::new(2);
        load.take();
        let first = InFlight(Arc::clone(&load));
        load.take();
        assert_eq!(load.free(), 0);
        drop(first);
        assert_eq!(load.free(), 1);
    }
}
