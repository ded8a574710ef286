//! Many wakes in, few sends out, and the last one always goes out.

use std::{fmt, time::Duration};

use sqlx::PgPool;
use tokio::{sync::watch, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Backoff;

/// The longest that one send may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`Debouncer::close`] waits for the last send.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// A trailing-edge debouncer. The first wake is sent at once; those that come within the quiet time after it
/// are sent as one at its end. None is dropped: a send that fails is tried again until it succeeds.
#[derive(Debug)]
pub struct Debouncer {
    wakes: watch::Sender<()>,
    closing: CancellationToken,
    sender: JoinHandle<()>,
}

impl Debouncer {
    /// Sends NOTIFY on `channel` over `pool`, once per `quiet` at most. Call [`Self::wake`] after the commit.
    #[must_use]
    pub fn notify(pool: PgPool, channel: &'static str, quiet: Duration) -> Self {
        Self::spawn(channel, quiet, move || {
            let pool = pool.clone();
            async move { sqlx::query("select pg_notify($1, '')").bind(channel).execute(&pool).await.map(drop) }
        })
    }

    /// Calls `send` for wakes, with at least `quiet` between two calls. `name` is for the log.
    #[must_use]
    pub fn spawn<S, F, E>(name: &'static str, quiet: Duration, mut send: S) -> Self
    where
        S: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send,
        E: fmt::Display + Send,
    {
        let (wakes, mut woken) = watch::channel(());
        let closing = CancellationToken::new();
        let closed = closing.clone();
        let sender = tokio::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
            loop {
                tokio::select! {
                    wake = woken.changed() => if wake.is_err() { return },
                    // What came before the close is still sent.
                    () = closed.cancelled() => if !woken.has_changed().unwrap_or(false) { return },
                }
                woken.mark_unchanged();
                while let Err(error) = attempt(send()).await {
                    let pause = backoff.next_pause();
                    warn!(name, error, retry_ms = pause.as_millis(), "a wake could not be sent");
                    tokio::select! {
                        () = closed.cancelled() => return,
                        () = time::sleep(pause) => {}
                    }
                }
                backoff.reset();
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = time::sleep(quiet) => {}
                }
            }
        });
        Self { wakes, closing, sender }
    }

    /// Asks for a send. Never blocks, never fails.
    pub fn wake(&self) {
        self.wakes.send_replace(());
    }

    /// Sends what is still to be sent, once, and ends. Bounded: a few seconds where the database is away.
    pub async fn close(mut self) {
        self.closing.cancel();
        if time::timeout(CLOSE_TIMEOUT, &mut self.sender).await.is_err() {
            self.sender.abort();
        }
    }
}

async fn attempt<E: fmt::Display>(send: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match time::timeout(SEND_TIMEOUT, send).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err("timed out".to_owned()),
    }
}
