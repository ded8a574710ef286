//! Takes tasks from one queue, for as long as the process lives.
//!
//! apalis' worker ends at the first database error and can't be started again under its old name (its stuck
//! tasks would look alive). So a consumer is a loop around workers: each has a fresh name and a fresh
//! connection, and before it starts, what its predecessor had claimed is given back.

use std::{marker::PhantomData, num::NonZeroUsize, sync::Arc, time::Duration};

use apalis::prelude::{WorkerBuilder, WorkerContext, WorkerError};
use apalis_postgres::Config;
use cyberbrain_core::ids::HostId;
use futures::FutureExt;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{sync::Semaphore, time, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    LaunchTask, PlaceTask, Queue, RunTask, Task,
    arrivals::{INSERT_CHANNEL, arrived_in},
    intake::Intake,
    janitor::{release_claims, set_aside_unreadable},
    service::Service,
    store::{Load, Store},
};
use crate::{
    metric,
    wake::{self, Backoff, Wakes},
};

/// A worker is taken for dead after six missed heartbeats: 30 s.
const HEARTBEAT: Duration = Duration::from_secs(5);
const MISSED_HEARTBEATS: usize = 6;
/// How many tasks of `runs` and `run_jobs` one claim takes, and how many may be in flight.
const BATCH: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");
/// How many handlers of `runs` and `run_jobs` run at once, unless said otherwise.
const TURNS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not zero");
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);
/// While a worker drains it sends no heartbeat, so handlers must end well within the 30 s.
const HANDLER_TIMEOUT_MAX: Duration = Duration::from_secs(20);
/// How much longer than its handlers a worker may take to stop.
const DRAIN_MARGIN: Duration = Duration::from_secs(6);
/// A worker that lived this long was well; the next failure is a new one.
const WELL_AFTER: Duration = Duration::from_secs(30);
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(10);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the tasks of one queue and hands each to a handler. Several consumers of a queue share it, in one
/// process or in many.
#[derive(Debug, Clone)]
pub struct Consumer<T> {
    options: PgConnectOptions,
    owner: String,
    queue: Queue,
    batch: NonZeroUsize,
    in_flight: NonZeroUsize,
    turns: NonZeroUsize,
    handler_timeout: Duration,
    poll_interval: Duration,
    tasks: PhantomData<fn() -> T>,
}

impl Consumer<RunTask> {
    /// A consumer of queue `runs`. `owner` names the process for people who look at `apalis.workers`:
    /// `<role>-<host>`. Of `pool` only the address is used: a consumer has two connections of its own.
    #[must_use]
    pub fn runs(pool: &PgPool, owner: &str) -> Self {
        Self::new(pool, owner, Queue::Runs, BATCH, TURNS, Duration::from_secs(1))
    }
}

impl Consumer<PlaceTask> {
    /// A consumer of queue `run_jobs`. See [`Consumer::runs`].
    #[must_use]
    pub fn run_jobs(pool: &PgPool, owner: &str) -> Self {
        Self::new(pool, owner, Queue::RunJobs, BATCH, TURNS, Duration::from_secs(1))
    }
}

impl Consumer<LaunchTask> {
    /// A consumer of queue `launch:<host>`. It takes one task at a time, so that siblings on the host get
    /// theirs. See [`Consumer::runs`].
    #[must_use]
    pub fn launch(pool: &PgPool, owner: &str, host: HostId) -> Self {
        Self::new(
            pool,
            owner,
            Queue::Launch(host),
            NonZeroUsize::MIN,
            NonZeroUsize::MIN,
            Duration::from_secs(2),
        )
    }
}

impl<T: Task> Consumer<T> {
    fn new(
        pool: &PgPool,
        owner: &str,
        queue: Queue,
        batch: NonZeroUsize,
        turns: NonZeroUsize,
        poll_interval: Duration,
    ) -> Self {
        Self {
            options: (*pool.connect_options()).clone(),
            owner: owner.to_owned(),
            queue,
            batch,
            in_flight: batch.max(turns),
            turns,
            handler_timeout: HANDLER_TIMEOUT,
            poll_interval,
            tasks: PhantomData,
        }
    }

    /// How many handlers run at once. Each needs what it needs of the caller's own pool.
    #[must_use]
    pub fn with_concurrency(mut self, handlers: NonZeroUsize) -> Self {
        self.turns = handlers;
        self.in_flight = self.batch.max(handlers);
        self
    }

    /// How long a handler may run before it is cut off: 10 s unless said otherwise, 20 s at most.
    #[must_use]
    pub fn with_handler_timeout(mut self, limit: Duration) -> Self {
        self.handler_timeout = limit.min(HANDLER_TIMEOUT_MAX);
        self
    }

    /// How often to look for tasks whose wake-up was lost or that were given back.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval.max(POLL_INTERVAL_MIN);
        self
    }

    /// Takes tasks until `shutdown`, then lets the handlers that run finish, gives the other tasks back and
    /// returns: within the handler timeout and a few seconds. Survives whatever happens to the database. If
    /// this future is dropped instead, claimed tasks wait for half a minute until another worker frees them.
    ///
    /// `handler` must be idempotent (a task may come twice), should take milliseconds, and may be cut off at
    /// any await once its time is over. It reports its own errors; what it leaves undone, a scan must find.
    pub async fn run<H, F>(self, handler: H, shutdown: CancellationToken)
    where
        H: Fn(T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let queue = self.queue;
        let wakes =
            wake::listen(&self.options, INSERT_CHANNEL, move |payload| arrived_in(payload) == Some(queue));
        let service = Arc::new(Service {
            queue,
            handler,
            turns: Arc::new(Semaphore::new(self.turns.get())),
            handlers: TaskTracker::new(),
            time_limit: self.handler_timeout,
            shutdown: shutdown.clone(),
        });
        service.handlers.close();

        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut predecessor: Option<String> = None;
        let mut failing = false;
        while !shutdown.is_cancelled() {
            let started = Instant::now();
            let name = format!("{}-{queue}-{}", self.owner, Uuid::now_v7());
            let failure = match self.take_over(&mut predecessor).await {
                Err(error) => Some(error),
                Ok(()) => {
                    if failing {
                        info!(%queue, "taking tasks again");
                        failing = false;
                    }
                    predecessor = Some(name.clone());
                    let end = self.work(&name, &service, wakes.clone(), &shutdown).await;
                    // Handlers outlive their worker. Two workers' handlers for one task would be harmless;
                    // none is simpler to reason about.
                    self.await_handlers(&service.handlers).await;
                    if end.is_err() {
                        metrics::counter!(metric::QUEUE_CONSUMER_RESTARTS, "queue" => queue.kind().as_str())
                            .increment(1);
                    }
                    end.err()
                }
            };
            let Some(failure) = failure else { continue };
            if started.elapsed() > WELL_AFTER {
                backoff.reset();
            }
            let pause = backoff.next_pause();
            if failing {
                debug!(%queue, error = %failure, retry_ms = pause.as_millis(), "still no worker");
            } else {
                warn!(%queue, error = %failure, retry_ms = pause.as_millis(), "queue worker lost, starting another");
            }
            failing = true;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.take_over(&mut predecessor).await {
            debug!(%queue, error = %error, "claimed tasks could not be given back; the janitor will");
        }
    }

    /// One worker's life. `Ok` means that it was asked to stop.
    async fn work<H, F>(
        &self,
        name: &str,
        service: &Arc<Service<H>>,
        wakes: Wakes,
        shutdown: &CancellationToken,
    ) -> Result<(), Lost>
    where
        H: Fn(T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let config = Config::default()
            .queue(self.queue.to_string())
            .batch_size(self.batch.get())
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_HEARTBEATS)
            .lock_tasks(false)
            .persist_results(true);
        let load = Load::new(self.in_flight.get());
        let store = Store::new(self.options.clone(), config, Arc::clone(&load));
        let context = WorkerContext::new(name);
        let worker = WorkerBuilder::new(&context)
            .backend(Intake::new(store.clone(), wakes, self.poll_interval))
            .build(service.for_worker::<T, F>(&load));

        // apalis panics on some rows (see `set_aside_unreadable`).
        let mut running = Box::pin(std::panic::AssertUnwindSafe(worker.run()).catch_unwind());
        let ended = tokio::select! {
            biased;
            ended = &mut running => Some(ended),
            () = shutdown.cancelled() => None,
        };
        let end = match ended {
            Some(Ok(Ok(()))) => Err(Lost::Ended),
            Some(Ok(Err(error))) => Err(Lost::Failed(error)),
            Some(Err(_)) => Err(Lost::Panicked),
            None => {
                // Fails only if the worker never started, and then there is nothing to drain.
                if context.stop().is_ok() {
                    let _ = time::timeout(self.handler_timeout + DRAIN_MARGIN, &mut running).await;
                }
                Ok(())
            }
        };
        drop(running);
        store.close().await;
        end
    }

    /// Gives back what a worker that is gone had claimed, and sets aside rows that would end the next one.
    async fn take_over(&self, predecessor: &mut Option<String>) -> Result<(), Lost> {
        let Some(name) = predecessor.as_deref() else { return Ok(()) };
        let exchange = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let freed = release_claims(&mut connection, name).await?;
            let unreadable = set_aside_unreadable(&mut connection, self.queue).await?;
            connection.close().await?;
            Ok((freed, unreadable))
        };
        let (freed, unreadable) = time::timeout(EXCHANGE_TIMEOUT, exchange)
            .await
            .map_err(|_| Lost::TimedOut)?
            .map_err(Lost::Database)?;
        if freed > 0 {
            debug!(queue = %self.queue, freed, "tasks of the last worker wait again");
        }
        if unreadable > 0 {
            warn!(queue = %self.queue, unreadable, "rows set aside: they were not written by this program");
        }
        *predecessor = None;
        Ok(())
    }

    async fn await_handlers(&self, handlers: &TaskTracker) {
        let _ = time::timeout(self.handler_timeout + Duration::from_secs(1), handlers.wait()).await;
    }
}

/// Why there is no worker. For the log only.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the worker ended by itself")]
    Ended,
    #[error("the worker panicked")]
    Panicked,
    #[error("{0}")]
    Failed(WorkerError),
    #[error("the database did not answer in time")]
    TimedOut,
    #[error("{0}")]
    Database(sqlx::Error),
}
