//! Waking other processes early, by LISTEN and NOTIFY.
//!
//! A wake says "look again" and nothing else: what there is to do is read from the tables, and whoever waits
//! for wakes also looks on an interval of its own. So a lost wake costs time, never correctness.
//!
//! No NOTIFY is sent inside a transaction (each takes a global lock at commit): a [`Debouncer`] sends it
//! afterwards, many as one. [`listen`] survives lost connections and wakes after each, since something may
//! have been missed.

mod backoff;
mod debouncer;
mod listener;

/// Say on this channel, after the commit, that a place may be free now: capacity was given back, a host came or is
/// reconciled. The scheduler then looks at once instead of within five seconds.
pub const CAPACITY_FREED: &str = "cyberbrain_capacity_freed";

/// How long a single wake may take.
const SEND_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Sends one wake now, for changes that people make: rare enough to need no debouncing. A wake that can't be sent costs
/// time only, so it is logged and forgotten.
pub(crate) async fn send(connection: &mut sqlx::PgConnection, channel: &'static str) {
    let sending = sqlx::query("select pg_notify($1, '')").bind(channel).execute(connection);
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(channel, error = &error as &dyn std::error::Error, "a wake was not sent");
        }
        Err(_) => tracing::warn!(channel, "a wake was not sent in time"),
    }
}

pub use backoff::Backoff;
pub use debouncer::Debouncer;
pub use listener::{Wakes, listen};
