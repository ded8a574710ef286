//! `Pass`: one bounded look at the tables, and the loop around it.
//!
//! A pass is idempotent and safe to drop at any await: what it had not committed is rolled back, what it had is found
//! by the next one. The loop survives every failure, with a growing pause, and says so once.

use std::{error::Error as _, time::Duration};

use cyberbrain_common::{db, metric, wake::Backoff};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::signal::Signal;

/// The longest that one pass may take. Statements have their own, shorter limits; this one is for a network that
/// swallows packets.
const PASS_LIMIT: Duration = Duration::from_secs(60);
/// Wakes that come within this time after a pass are answered by one pass.
const GAP: Duration = Duration::from_millis(10);

/// Whether there is more to do right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again when woken, or at the next interval.
    Wait,
    /// Look again at once: the pass had its fill, not the end.
    Again,
}

/// One bounded, idempotent look at the tables.
pub trait Pass: Send + 'static {
    /// For logs and metrics.
    const NAME: &'static str;

    /// Looks once and does what is to be done.
    ///
    /// # Errors
    /// A database error; what was not committed is undone.
    fn pass(&mut self) -> impl Future<Output = Result<Next, db::Error>> + Send;
}

/// When a loop looks.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// `None`: only when woken.
    pub every: Option<Duration>,
    pub signal: Signal,
}

/// Runs passes until `shutdown`; the one that is under way then is dropped.
pub(crate) async fn repeat<P: Pass>(mut pass: P, pace: Pace, shutdown: CancellationToken) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = forever(&mut pass, &pace) => {}
    }
}

async fn forever<P: Pass>(pass: &mut P, pace: &Pace) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut failing = false;
    loop {
        let failure = match time::timeout(PASS_LIMIT, pass.pass()).await {
            Ok(Ok(next)) => {
                if failing {
                    info!(pass = P::NAME, "works again");
                    failing = false;
                }
                backoff.reset();
                match next {
                    Next::Again => time::sleep(GAP).await,
                    Next::Wait => wait(pace).await,
                }
                continue;
            }
            Ok(Err(error)) => told(&error),
            Err(_) => format!("it took longer than {} s", PASS_LIMIT.as_secs()),
        };
        metrics::counter!(metric::SCHEDULER_PASS_FAILURES, "pass" => P::NAME).increment(1);
        let pause = backoff.next_pause();
        if failing {
            debug!(pass = P::NAME, error = failure, retry_ms = pause.as_millis(), "still fails");
        } else {
            warn!(
                pass = P::NAME,
                error = failure,
                retry_ms = pause.as_millis(),
                "a pass failed, trying again"
            );
        }
        failing = true;
        time::sleep(pause).await;
    }
}

async fn wait(pace: &Pace) {
    match pace.every {
        None => pace.signal.woken().await,
        Some(every) => {
            let _ = time::timeout(every, pace.signal.woken()).await;
        }
    }
    time::sleep(GAP).await;
}

/// An error with its causes, in one line.
pub(crate) fn told(error: &db::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
