//! One PostgreSQL per test process, started by the first test that needs it.
//!
//! It has a thread and a runtime of its own, because each test's runtime ends with the test. Its databases are
//! named `cyberbrain_test_<process>_…`. A server of ours vanishes with the process. On the server of
//! `TEST_DATABASE_URL` a lock held by this process says that they are in use; the next test process removes
//! those whose lock is free, so that a killed one leaves nothing for long.

use std::{
    collections::BTreeSet,
    sync::{OnceLock, mpsc as blocking},
    time::Duration,
};

use cyberbrain_common::{
    db,
    postgres::{self, Notice, Options, Postgres},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};

use crate::database::with_database;

const PREFIX: &str = "cyberbrain_test_";

/// What a new database starts with.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Migrated and seeded, with an identity of its own.
    Template,
    /// Nothing.
    Empty,
    /// The same as this other test database, which must have no connections.
    CopyOf(String),
}

pub(crate) enum Order {
    Create { origin: Origin, reply: oneshot::Sender<Result<Made, String>> },
    Drop { name: String, done: blocking::SyncSender<()> },
}

/// A new database.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// The way to the process's server.
pub(crate) struct Shared {
    pub(crate) orders: mpsc::Sender<Order>,
}

/// Starts the server at the first call; everyone else waits for that start, or gets its failure.
pub(crate) fn shared() -> Result<&'static Shared, &'static str> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    SHARED.get_or_init(start).as_ref().map_err(String::as_str)
}

fn start() -> Result<Shared, String> {
    let (orders, inbox) = mpsc::channel(64);
    let (started, outcome) = blocking::sync_channel(1);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a test process can have one more thread");
        runtime.block_on(async move {
            match Keeper::new().await {
                Ok(keeper) => {
                    let _ = started.send(Ok(()));
                    keeper.serve(inbox).await;
                }
                Err(error) => {
                    let _ = started.send(Err(format!("{error:#}")));
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("test-postgres".to_owned())
        .spawn(run)
        .map_err(|error| error.to_string())?;
    // An installation by the package manager takes minutes.
    match outcome.recv_timeout(Duration::from_secs(900)) {
        Ok(result) => result.map(|()| Shared { orders }),
        Err(_) => Err("the start of PostgreSQL panicked or hangs".to_owned()),
    }
}

struct Keeper {
    // Ends the server when the process ends.
    _postgres: Postgres,
    admin: PgConnection,
    url: String,
    /// `cyberbrain_test_<process>`, unique on the server.
    stem: String,
    count: u32,
}

impl Keeper {
    async fn new() -> anyhow::Result<Self> {
        let options = Options { url: std::env::var("TEST_DATABASE_URL").ok(), ..Options::temporary() };
        let postgres = postgres::open(&options, &|notice: &Notice| eprintln!("{notice}")).await?;
        let url = postgres.url().to_owned();
        let mut admin = PgConnection::connect(&url).await?;
        let stem = format!("{PREFIX}{:08x}", rand::random::<u32>());
        hold(&mut admin, &stem).await?;
        match postgres {
            Postgres::Given { .. } => sweep(&mut admin, &stem).await?,
            Postgres::Own(_) => {}
        }
        let mut keeper = Self { _postgres: postgres, admin, url, stem, count: 0 };
        let template = keeper.template();
        execute(&mut keeper.admin, format!("create database {template}")).await?;
        db::migrate(&with_database(&keeper.url, &template)?).await?;
        Ok(keeper)
    }

    fn template(&self) -> String {
        format!("{}_template", self.stem)
    }

    async fn serve(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(order) = inbox.recv().await {
            match order {
                Order::Create { origin, reply } => {
                    let made = self.create(origin).await.map_err(|error| format!("{error:#}"));
                    let _ = reply.send(made);
                }
                Order::Drop { name, done } => {
                    // Best effort: the server, or the next process, removes what is left.
                    let _ = execute(&mut self.admin, format!("drop database if exists {name} with (force)"))
                        .await;
                    let _ = done.send(());
                }
            }
        }
    }

    async fn create(&mut self, origin: Origin) -> anyhow::Result<Made> {
        self.count += 1;
        let name = format!("{}_{}", self.stem, self.count);
        let source = match &origin {
            Origin::Template => self.template(),
            Origin::Empty => "template1".to_owned(),
            Origin::CopyOf(name) => name.clone(),
        };
        execute(&mut self.admin, format!("create database {name} template {source}")).await?;
        let url = with_database(&self.url, &name)?;
        match origin {
            // What `migrate` would do: a copy is another installation.
            Origin::Template => {
                let mut connection = db::connect(&url, "test").await?;
                db::instance::ensure(&mut connection).await?;
                connection.close().await?;
            }
            Origin::Empty | Origin::CopyOf(_) => {}
        }
        Ok(Made { name, url })
    }
}

/// Names are made here from digits and letters, never from outside.
async fn execute(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}

/// Says on the server that databases with this stem are in use, for as long as this connection lives.
async fn hold(connection: &mut PgConnection, stem: &str) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))")
        .bind(stem)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Removes databases whose process is gone.
async fn sweep(connection: &mut PgConnection, own_stem: &str) -> sqlx::Result<()> {
    let names: Vec<String> =
        sqlx::query_scalar("select datname from pg_database where starts_with(datname, $1)")
            .bind(PREFIX)
            .fetch_all(&mut *connection)
            .await?;
    let stem_of = |name: &str| name.get(..own_stem.len()).map(str::to_owned);
    let stems: BTreeSet<String> = names.iter().filter_map(|name| stem_of(name)).collect();
    for stem in stems.iter().filter(|stem| *stem != own_stem) {
        let (free,): (bool,) = sqlx::query_as("select pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(stem)
            .fetch_one(&mut *connection)
            .await?;
        if !free {
            continue;
        }
        for name in names.iter().filter(|name| name.starts_with(stem.as_str())) {
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                // Another process may be sweeping too.
                let _ = execute(connection, format!("drop database if exists {name} with (force)")).await;
            }
        }
        sqlx::query("select pg_advisory_unlock(hashtextextended($1, 0))")
            .bind(stem)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
