//! apalis' own tables, in a schema of their own.

use std::time::Duration;

use apalis_postgres::PostgresStorage;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Error, database_error};

/// How long a connection for the migrations may take to come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Brings schema `apalis` up to date, over a connection of its own that is closed afterwards. Only `migrate`
/// and embedded starts call it. Doing it twice, or in several processes at once, is harmless: apalis'
/// migrator holds an advisory lock and keeps its own history.
///
/// # Errors
/// [`Error::Setup`].
pub async fn setup(options: &PgConnectOptions) -> Result<(), Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options.clone());
    let done = PostgresStorage::setup(&pool).await.map_err(|source| Error::Setup(database_error(source)));
    pool.close().await;
    done
}
