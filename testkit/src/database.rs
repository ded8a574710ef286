//! A PostgreSQL database for one test.

use std::{net::SocketAddr, str::FromStr as _, sync::mpsc as blocking, time::Duration};

use cyberbrain_common::db;
use sqlx::{ConnectOptions as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::sync::oneshot;

use crate::{
    need::{Need, require},
    server::{self, Made, Order, Origin},
};

/// A database that no other test sees, removed when this is dropped (connections are cut then).
#[derive(Debug)]
pub struct TestDb {
    /// For sqlx and for other processes.
    pub url: String,
    name: String,
}

impl TestDb {
    /// A migrated and seeded one, with an identity of its own. `None`: there is no PostgreSQL and the skip was
    /// said ([`require`]); the test should return.
    ///
    /// ```ignore
    /// let Some(db) = TestDb::new().await else { return };
    /// ```
    ///
    /// # Panics
    /// When `CYBERBRAIN_TEST_REQUIRE` asks for PostgreSQL and there is none, or the database can't be made.
    pub async fn new() -> Option<Self> {
        Self::make(Origin::Template).await
    }

    /// One without any table, for tests of the migrations. Otherwise as [`TestDb::new`].
    ///
    /// # Panics
    /// As [`TestDb::new`].
    pub async fn empty() -> Option<Self> {
        Self::make(Origin::Empty).await
    }

    /// A byte-for-byte copy, identity included. This one must have no connections left.
    ///
    /// # Panics
    /// When the copy can't be made.
    pub async fn copy(&self) -> Self {
        let copy = Self::make(Origin::CopyOf(self.name.clone())).await;
        copy.expect("the original's server is there")
    }

    async fn make(origin: Origin) -> Option<Self> {
        if !require(Need::Postgres) {
            return None;
        }
        let shared = server::shared().expect("required one line above");
        let (reply, made) = oneshot::channel();
        shared
            .orders
            .send(Order::Create { origin, reply })
            .await
            .expect("the keeper lives as long as the process");
        match tokio::time::timeout(Duration::from_secs(60), made).await {
            Ok(Ok(Ok(Made { name, url }))) => Some(Self { url, name }),
            Ok(Ok(Err(error))) => panic!("could not make a test database: {error}"),
            Ok(Err(_)) => panic!("the keeper of the test databases is gone"),
            Err(_) => panic!("making a test database took more than 60 s"),
        }
    }

    /// A pool of up to eight connections.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        db::pool(&self.url, "test", db::PoolSize(8)).expect("the URL was made by us")
    }

    /// The same, planning as the api does.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn pool_for_lists(&self) -> PgPool {
        db::pool_for_lists(&self.url, "test", db::PoolSize(8)).expect("the URL was made by us")
    }

    /// One connection.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn connect(&self) -> PgConnection {
        db::connect(&self.url, "test").await.expect("the test's own server answers")
    }

    /// Where the server listens; what a [`crate::chaos::Proxy`] goes in front of.
    ///
    /// # Panics
    /// When `TEST_DATABASE_URL` names a host that has no address.
    pub async fn address(&self) -> SocketAddr {
        let options = parse(&self.url).expect("the URL was made by us");
        let mut found = tokio::net::lookup_host((options.get_host(), options.get_port())).await;
        found.as_mut().ok().and_then(Iterator::next).expect("the database's host has an address")
    }

    /// This database, reached through `proxy`.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn url_through(&self, proxy: SocketAddr) -> String {
        let options = parse(&self.url).expect("the URL was made by us");
        options.host(&proxy.ip().to_string()).port(proxy.port()).to_url_lossy().to_string()
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Ok(shared) = server::shared() else { return };
        let (done, gone) = blocking::sync_channel(1);
        let order = Order::Drop { name: std::mem::take(&mut self.name), done };
        if shared.orders.try_send(order).is_ok() {
            // Before the process may end: nobody else would remove it from a given server soon.
            let _ = gone.recv_timeout(Duration::from_secs(10));
        }
    }
}

fn parse(url: &str) -> sqlx::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url)
}

/// The same server, another database.
pub(crate) fn with_database(url: &str, name: &str) -> sqlx::Result<String> {
    Ok(parse(url)?.database(name).to_url_lossy().to_string())
}

#[cfg(test)]
#[path = "database_test.rs"]
mod tests;
