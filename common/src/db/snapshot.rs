//! Reading several things as of one instant.

use sqlx::{Connection as _, Postgres, Transaction};

use super::{Conn, Error};

/// Begins a read-only transaction in which every query sees the same state of the database.
///
/// # Errors
/// When the database can't be reached.
pub async fn begin_snapshot(connection: &mut Conn) -> Result<Transaction<'_, Postgres>, Error> {
    Ok(connection.begin_with("begin transaction isolation level repeatable read read only").await?)
}
