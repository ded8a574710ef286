//! How we connect: time limits on everything, and a name that `pg_stat_activity` shows.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
};

use super::{Error, Pool};

/// How long a connect or the wait for a pooled connection may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest number of connections that a pool opens.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize(pub u32);

/// Opens a pool. It connects lazily, so a database that is down shows at the first query.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn pool(url: &str, application: &str, size: PoolSize) -> Result<Pool, Error> {
    Ok(lazy(options(url, application)?, size))
}

/// As [`pool`], for lists with filters that may be left open: each statement is planned for the values that it is asked
/// with. A kept plan would have to do for any filter, which is to walk along the whole table.
///
/// # Errors
/// As [`pool`].
pub fn pool_for_lists(url: &str, application: &str, size: PoolSize) -> Result<Pool, Error> {
    let options = options(url, application)?.options([("plan_cache_mode", "force_custom_plan")]);
    Ok(lazy(options, size))
}

fn lazy(options: PgConnectOptions, size: PoolSize) -> Pool {
    PgPoolOptions::new()
        .max_connections(size.0)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options)
}

/// Opens one dedicated connection.
///
/// # Errors
/// When `url` is not a PostgreSQL URL or the server does not answer within ten seconds.
pub async fn connect(url: &str, application: &str) -> Result<PgConnection, Error> {
    let options = options(url, application)?;
    match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(Error::Unreachable(sqlx::Error::PoolTimedOut)),
    }
}

pub(super) fn options(url: &str, application: &str) -> Result<PgConnectOptions, Error> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name(application)
        .options([("statement_timeout", "30s"), ("lock_timeout", "10s"), ("timezone", "UTC")])
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1)))
}
