//! The leader row of a role: reading it, claiming it, keeping it.
//!
//! Guarantees that of several claims of one row exactly one wins. Deliberately absent: when to claim
//! (`core::watch::leader`), and any right that leadership would give: what a leader writes is as harmless when
//! two of them act at once.

use cyberbrain_core::watch::leader::LeaderRow;
use uuid::Uuid;

use super::{Conn, Error};

/// A process in one term of its leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process; a restart is a new one.
    pub id: Uuid,
    pub term: i64,
}

/// Whose the row is after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leadership {
    Ours,
    Theirs,
}

impl Leadership {
    const fn from_rows(rows: u64) -> Self {
        if rows > 0 { Self::Ours } else { Self::Theirs }
    }
}

/// Reads the row; `None` if nobody leads.
///
/// # Errors
/// A database error.
pub async fn read(connection: &mut Conn, role: &str) -> Result<Option<LeaderRow>, Error> {
    let row = sqlx::query!("select term, counter from leaders where role = $1", role)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| LeaderRow { term: row.term, counter: row.counter }))
}

/// Claims the row for `holder`, if it still is exactly `instead_of` (or still is not there).
///
/// # Errors
/// A database error; whose the row is then is unknown.
pub async fn claim(
    connection: &mut Conn,
    role: &str,
    holder: Holder,
    instead_of: Option<LeaderRow>,
) -> Result<Leadership, Error> {
    let done =
        match instead_of {
            None => sqlx::query!(
                "insert into leaders (role, holder, term) values ($1, $2, $3) on conflict (role) do nothing",
                role,
                holder.id,
                holder.term,
            )
            .execute(connection)
            .await?,
            Some(seen) => {
                sqlx::query!(
                    "update leaders set holder = $2, term = $3, counter = 0, since = now()
                 where role = $1 and term = $4 and counter = $5",
                    role,
                    holder.id,
                    holder.term,
                    seen.term,
                    seen.counter,
                )
                .execute(connection)
                .await?
            }
        };
    Ok(Leadership::from_rows(done.rows_affected()))
}

/// Raises the counter, if the row still is the holder's.
///
/// # Errors
/// A database error; whose the row is then is unknown.
pub async fn beat(connection: &mut Conn, role: &str, holder: Holder) -> Result<Leadership, Error> {
    let done = sqlx::query!(
        "update leaders set counter = counter + 1 where role = $1 and holder = $2 and term = $3",
        role,
        holder.id,
        holder.term,
    )
    .execute(connection)
    .await?;
    Ok(Leadership::from_rows(done.rows_affected()))
}

/// Gives the row up, so that a standby need not wait. Does nothing if it is somebody else's by now.
///
/// # Errors
/// A database error.
pub async fn resign(connection: &mut Conn, role: &str, holder: Holder) -> Result<(), Error> {
    sqlx::query!(
        "delete from leaders where role = $1 and holder = $2 and term = $3",
        role,
        holder.id,
        holder.term
    )
    .execute(connection)
    .await?;
    Ok(())
}
