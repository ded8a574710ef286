//! Brings a database up to date: our migrations, the queue's, then the seeds.
//!
//! Any number of processes may do it at once; a session lock on one dedicated connection lets one work and the
//! others find the work done. Only `migrate` and the embedded starts call it.

use sqlx::{Connection, migrate::Migrator};

use super::{Conn, Error, connect, connect::options, instance, seed};
use crate::queue;

static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("../migrations");
    // A newer release may have added migrations that this binary does not know.
    migrator.ignore_missing = true;
    migrator
};

/// Held while migrating; any fixed number that no one else uses.
const LOCK_KEY: i64 = 0x6379_6265_7262_7261;

/// Applies what is missing. Idempotent.
///
/// # Errors
/// When the server can't be reached or a migration fails; the failed migration leaves nothing behind.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let mut connection = connect(url, "cyberbrain-migrate").await?;
    sqlx::query("set lock_timeout = 0").execute(&mut connection).await?;
    sqlx::query("set statement_timeout = '10min'").execute(&mut connection).await?;
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    let outcome = apply(&mut connection, url).await;
    // Closing the connection releases the lock, also after an error.
    connection.close().await?;
    outcome
}

async fn apply(connection: &mut Conn, url: &str) -> Result<(), Error> {
    MIGRATOR.run(&mut *connection).await?;
    queue::setup(&options(url, "cyberbrain-migrate")?).await?;
    let mut tx = connection.begin().await?;
    instance::ensure(&mut tx).await?;
    instance::settle_trail(&mut tx).await?;
    seed::plant(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// How many of this release's migrations the database lacks.
///
/// # Errors
/// When the database can't be read.
pub async fn pending_migrations(connection: &mut Conn) -> Result<usize, Error> {
    let applied: Vec<i64> = match sqlx::query_scalar("select version from _sqlx_migrations where success")
        .fetch_all(connection)
        .await
    {
        Ok(versions) => versions,
        // 42P01: no such table, so nothing was ever applied.
        Err(sqlx::Error::Database(db)) if db.code().as_deref() == Some("42P01") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count())
}
