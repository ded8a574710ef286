//! What every handler shares.

use std::{sync::Arc, time::Duration};

use cyberbrain_common::db::{self, Pool};
use sqlx::{Postgres, pool::PoolConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    events::Feed,
    files::{Slots, UploadStore},
    limit::{LimitArgs, Limits},
    mcp,
    pages::PageCookies,
    problem::Problem,
};

/// How long a request waits for a database connection before it answers 503.
const CONNECTION_WAIT: Duration = Duration::from_secs(3);

/// State of the api process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pool: Pool,
    stopping: CancellationToken,
    mcp: Arc<mcp::Allowed>,
    uploads: UploadStore,
    slots: Slots,
    feed: Feed,
    limits: Option<Limits>,
    page_cookies: PageCookies,
}

impl App {
    /// `stopping` makes `/readyz` say so, so that a load balancer looks elsewhere.
    #[must_use]
    pub fn new(pool: Pool, stopping: CancellationToken, uploads: UploadStore) -> Self {
        let feed = Feed::new(pool.clone(), stopping.clone());
        Self {
            pool,
            stopping,
            feed,
            mcp: Arc::default(),
            uploads,
            slots: Slots::default(),
            limits: None,
            page_cookies: PageCookies::default(),
        }
    }

    /// Lets MCP clients in by further `Host` and `Origin` headers.
    #[must_use]
    pub fn allow_mcp(mut self, allowed: mcp::Allowed) -> Self {
        self.mcp = Arc::new(allowed);
        self
    }

    /// Bounds how often somebody may ask.
    #[must_use]
    pub fn limit(mut self, args: &LimitArgs) -> Self {
        self.limits = Some(Limits::new(args));
        self
    }

    pub(crate) const fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// Says when the cookies of the pages may travel over plain HTTP.
    #[must_use]
    pub fn page_cookies_are(mut self, page_cookies: PageCookies) -> Self {
        self.page_cookies = page_cookies;
        self
    }

    /// The endpoint `/mcp`.
    pub(crate) fn mcp(&self) -> mcp::Endpoint {
        mcp::Endpoint::new(self, &self.mcp, &self.stopping)
    }

    /// A database connection.
    ///
    /// # Errors
    /// The problem `database-unavailable` when there is none within three seconds.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Problem> {
        match tokio::time::timeout(CONNECTION_WAIT, self.pool.acquire()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(db::Error::from(error).into()),
            Err(_) => Err(db::Error::Unreachable(sqlx::Error::PoolTimedOut).into()),
        }
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Until the process is about to end: streams that have no end of their own end then.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    pub(crate) fn uploads(&self) -> &UploadStore {
        &self.uploads
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn page_cookies(&self) -> PageCookies {
        self.page_cookies
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }
}
