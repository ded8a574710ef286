//! LISTEN that outlives its connections.

use std::{fmt, time::Duration};

use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{sync::watch, time};
use tracing::{debug, info, warn};

use super::Backoff;

/// The longest that connecting, or one exchange with the server, may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that has been silent for this long is asked whether it is still there: a cut cable sends
/// nothing, not even an error.
const PROBE_AFTER: Duration = Duration::from_secs(15);

/// Wakes from one channel. Clones wake independently.
#[derive(Debug, Clone)]
pub struct Wakes(watch::Receiver<()>);

impl Wakes {
    /// Waits for the next wake; several that came meanwhile are one. Cancel-safe.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The listening task ends only with the runtime. Whoever waits here also has an interval.
            std::future::pending::<()>().await;
        }
    }
}

/// Listens on `channel`, over one connection of its own, for payloads that `wanted` accepts. The first wake
/// comes when the connection stands, another after each reconnect. Ends when the last [`Wakes`] is dropped.
#[must_use]
pub fn listen<P>(options: &PgConnectOptions, channel: &'static str, wanted: P) -> Wakes
where
    P: Fn(&str) -> bool + Send + Sync + 'static,
{
    let (wakes, woken) = watch::channel(());
    let options = options.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = wakes.closed() => {}
            () = stay_connected(&options, channel, &wanted, &wakes) => {}
        }
    });
    Wakes(woken)
}

async fn stay_connected(
    options: &PgConnectOptions,
    channel: &'static str,
    wanted: &(impl Fn(&str) -> bool + Sync),
    wakes: &watch::Sender<()>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut lost = false;
    loop {
        match connect(options, channel).await {
            Ok(mut listener) => {
                if lost {
                    info!(channel, "listening again");
                }
                backoff.reset();
                wakes.send_replace(());
                let error = receive(&mut listener, wanted, wakes).await;
                warn!(channel, error = %error, "listening was interrupted");
            }
            Err(error) if lost => debug!(channel, error = %error, "still not listening"),
            Err(error) => warn!(channel, error = %error, "can't listen"),
        }
        lost = true;
        time::sleep(backoff.next_pause()).await;
    }
}

async fn connect(options: &PgConnectOptions, channel: &str) -> Result<PgListener, Lost> {
    // sqlx listens through a pool; one of one connection, so that nobody else's slot is taken for good.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(EXCHANGE_TIMEOUT)
        .connect_lazy_with(options.clone());
    let mut listener = bounded(PgListener::connect_with(&pool)).await?;
    listener.eager_reconnect(false);
    bounded(listener.listen(channel)).await?;
    Ok(listener)
}

/// Returns when the connection is gone.
async fn receive(
    listener: &mut PgListener,
    wanted: &(impl Fn(&str) -> bool + Sync),
    wakes: &watch::Sender<()>,
) -> Lost {
    loop {
        match time::timeout(PROBE_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if wanted(notification.payload()) {
                    wakes.send_replace(());
                }
            }
            Ok(Ok(None)) => return Lost::Closed,
            Ok(Err(error)) => return Lost::Database(error),
            Err(_) => {
                if let Err(lost) = bounded(listener.execute("select 1")).await {
                    return lost;
                }
            }
        }
    }
}

async fn bounded<T>(exchange: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Lost> {
    match time::timeout(EXCHANGE_TIMEOUT, exchange).await {
        Ok(done) => done.map_err(Lost::Database),
        Err(_) => Err(Lost::Silent),
    }
}

/// Why a listening connection ended. For the log only.
enum Lost {
    Closed,
    Silent,
    Database(sqlx::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Silent => f.write_str("the server did not answer in time"),
            Self::Database(error) => error.fmt(f),
        }
    }
}
