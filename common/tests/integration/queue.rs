//! The queue against a real PostgreSQL: what is promised, and what tries to break it.

mod delivery;
mod faults;
mod server;
mod upkeep;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cyberbrain_common::{
    db,
    queue::{self, Consumer, RunTask, Task},
};
use cyberbrain_core::ids::RunId;
use cyberbrain_testkit::{Need, TestDb, require, wait_until};
use server::RestartableServer;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// So long that only a notification can explain a task's delivery.
const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(20);

/// A database, and whom it belongs to.
struct Database {
    pool: PgPool,
    home: Home,
}

enum Home {
    Shared(TestDb),
    Own(RestartableServer),
}

impl Database {
    /// `None`: there is no PostgreSQL and the skip was said.
    async fn new() -> Option<Self> {
        let shared = TestDb::new().await?;
        Some(Self { pool: shared.pool(), home: Home::Shared(shared) })
    }

    /// On a server of its own, with the queue's schema only.
    async fn restartable() -> Option<Self> {
        if !require(Need::Postgres) {
            return None;
        }
        let server = RestartableServer::start().await;
        let pool = db::pool(server.url(), "test", db::PoolSize(4)).unwrap();
        queue::setup(&pool.connect_options()).await.unwrap();
        Some(Self { pool, home: Home::Own(server) })
    }

    fn shared(&self) -> &TestDb {
        match &self.home {
            Home::Shared(shared) => shared,
            Home::Own(_) => panic!("this test has a server of its own"),
        }
    }

    fn server(&mut self) -> &mut RestartableServer {
        match &mut self.home {
            Home::Shared(_) => panic!("this test shares its server"),
            Home::Own(server) => server,
        }
    }

    async fn push<T: Task>(&self, tasks: &[T]) {
        let mut tx = self.pool.begin().await.unwrap();
        queue::push(&mut tx, tasks).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A row that none of our code wrote.
    async fn insert_raw(&self, id: &str, payload: &[u8]) {
        sqlx::query(
            "insert into apalis.jobs (id, job_type, job, run_at) values ($1, 'runs', $2, to_timestamp(0))",
        )
        .bind(id)
        .bind(payload)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    async fn count(&self, status: &str) -> i64 {
        sqlx::query_scalar("select count(*) from apalis.jobs where status = $1")
            .bind(status)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.pool).await.unwrap();
    }

    fn runs(&self) -> Consumer<RunTask> {
        Consumer::runs(&self.pool, "test-host")
    }
}

/// A consumer that runs until this is stopped.
struct Running {
    shutdown: CancellationToken,
    consumer: JoinHandle<()>,
}

impl Running {
    fn start<T, H, F>(consumer: Consumer<T>, handler: H) -> Self
    where
        T: Task,
        H: Fn(T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let consumer = tokio::spawn(consumer.run(handler, shutdown.clone()));
        Self { shutdown, consumer }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.consumer).await.expect("the consumer stops").unwrap();
    }
}

/// What handlers were given, and when.
struct Taken<T>(Arc<Mutex<Vec<(T, Instant)>>>);

impl<T> Clone for Taken<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Taken<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn note(&self, task: T) {
        self.0.lock().unwrap().push((task, Instant::now()));
    }

    fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().iter().map(|(task, _)| task.clone()).collect()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last_at(&self) -> Instant {
        self.0.lock().unwrap().last().unwrap().1
    }

    async fn reaches(&self, count: usize) {
        wait_until("enough tasks are taken", Duration::from_secs(60), async || self.len() >= count).await;
    }

    /// A handler that notes and returns.
    fn handler(&self) -> impl Fn(T) -> std::future::Ready<()> + Clone + Send + Sync + 'static
    where
        T: Send + 'static,
    {
        let taken = self.clone();
        move |task| {
            taken.note(task);
            std::future::ready(())
        }
    }
}

fn admits(count: u128) -> Vec<RunTask> {
    (1..=count).map(admit).collect()
}

fn admit(number: u128) -> RunTask {
    RunTask::Admit(RunId::from(Uuid::from_u128(number)))
}
