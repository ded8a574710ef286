//! What people change about hosts and GPUs, and the requests that launchers answer.
//!
//! Lock order: hosts → gpus. Deliberately absent: who may, and the audit rows.

use chrono::{DateTime, Utc};
use cyberbrain_core::ids::{GpuUuid, HostId};
use uuid::Uuid;

use super::{Conn, Error};
use crate::ids::fresh;

/// Whether a host or a card takes new work, as far as people decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    Open,
    Cordoned,
    /// As cordoned, to be emptied: what runs there ends by itself.
    Draining,
}

/// Sets it; returns the name of the host, `None` if there is none.
///
/// # Errors
/// A database error.
pub async fn set_host(
    connection: &mut Conn,
    host: HostId,
    intake: Intake,
    reason: &str,
) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar!(
        "update hosts set cordoned = $2, draining = $3, cordon_reason = $4
         where id = $1 and forgotten_at is null returning name",
        host.uuid(),
        intake == Intake::Cordoned,
        intake == Intake::Draining,
        (intake != Intake::Open).then_some(reason),
    )
    .fetch_optional(connection)
    .await?)
}

/// A card and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub uuid: GpuUuid,
    pub host: String,
}

/// Sets whether a card takes new work; a card is never draining. `None` if there is none.
///
/// # Errors
/// A database error.
pub async fn set_gpu(
    connection: &mut Conn,
    gpu: &str,
    intake: Intake,
    reason: &str,
) -> Result<Option<Card>, Error> {
    let open = intake == Intake::Open;
    let row = sqlx::query!(
        "update gpus g set cordoned = $2, cordon_reason = $3 from hosts h
         where g.uuid = $1 and h.id = g.host_id and h.forgotten_at is null returning g.uuid, h.name as host",
        gpu,
        !open,
        (!open).then_some(reason),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Card { uuid: GpuUuid::new(row.uuid), host: row.host }))
}

/// What speaks against forgetting a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub name: String,
    /// Launchers that are in contact.
    pub launchers: i64,
    /// Attempts that hold something of it.
    pub attempts: i64,
}

/// Locks a host and looks what it still holds. `None` if there is none.
///
/// # Errors
/// A database error.
pub async fn lock_holding(connection: &mut Conn, host: HostId) -> Result<Option<Holding>, Error> {
    let name = sqlx::query_scalar!(
        "select name from hosts where id = $1 and forgotten_at is null for no key update",
        host.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(name) = name else { return Ok(None) };
    let row = sqlx::query!(
        r#"select (select count(*) from launchers where host_id = $1 and state = 'live') as "launchers!",
             (select count(*) from attempts where host_id = $1 and released_at is null) as "attempts!""#,
        host.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(Holding { name, launchers: row.launchers, attempts: row.attempts }))
}

/// Forgets a locked host. A launcher of it that comes back must register anew.
///
/// # Errors
/// A database error.
pub async fn forget(connection: &mut Conn, host: HostId) -> Result<(), Error> {
    sqlx::query!("update hosts set forgotten_at = now() where id = $1", host.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!("update launchers set state = 'ended' where host_id = $1 and state <> 'ended'", host.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// A request to look through a host's containers, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    pub requested_by: String,
    pub requested_at: DateTime<Utc>,
    /// `None` until a launcher has done it.
    pub done: Option<Cleaned>,
}

/// What a launcher found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleaned {
    pub at: DateTime<Utc>,
    pub counts: CleanupCounts,
}

/// Containers of this installation on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanupCounts {
    pub seen: i32,
    pub removed: i32,
    /// Left alone, although no attempt explains them.
    pub quarantined: i32,
}

/// Asks for a cleanup; one that is still to be done is enough.
///
/// # Errors
/// A database error.
pub async fn request_cleanup(connection: &mut Conn, host: HostId, by: &str) -> Result<(), Error> {
    sqlx::query!(
        "insert into host_cleanups (id, host_id, requested_by) values ($1, $2, $3)
         on conflict (host_id) where done_at is null do nothing",
        fresh::<HostId>().uuid(),
        host.uuid(),
        by,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest cleanup of a host.
///
/// # Errors
/// A database error.
pub async fn last_cleanup(connection: &mut Conn, host: HostId) -> Result<Option<Cleanup>, Error> {
    let row = sqlx::query!(
        "select requested_by, requested_at, done_at, seen, removed, quarantined from host_cleanups
         where host_id = $1 order by requested_at desc limit 1",
        host.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Cleanup {
        requested_by: row.requested_by,
        requested_at: row.requested_at,
        done: row.done_at.map(|at| Cleaned {
            at,
            counts: CleanupCounts {
                seen: row.seen.unwrap_or(0),
                removed: row.removed.unwrap_or(0),
                quarantined: row.quarantined.unwrap_or(0),
            },
        }),
    }))
}

/// The cleanup of a host that is to be done.
///
/// # Errors
/// A database error.
pub async fn open_cleanup(connection: &mut Conn, host: HostId) -> Result<Option<Uuid>, Error> {
    Ok(sqlx::query_scalar!(
        "select id from host_cleanups where host_id = $1 and done_at is null",
        host.uuid()
    )
    .fetch_optional(connection)
    .await?)
}

/// Notes what came of a cleanup, unless a sibling did before.
///
/// # Errors
/// A database error.
pub async fn finish_cleanup(
    connection: &mut Conn,
    cleanup: Uuid,
    counts: CleanupCounts,
) -> Result<(), Error> {
    sqlx::query!(
        "update host_cleanups set done_at = now(), seen = $2, removed = $3, quarantined = $4
         where id = $1 and done_at is null",
        cleanup,
        counts.seen,
        counts.removed,
        counts.quarantined,
    )
    .execute(connection)
    .await?;
    Ok(())
}
