//! Attempts outside their state changes: what they hold, and giving it back.

use cyberbrain_core::ids::AttemptId;
use uuid::Uuid;

use super::{Conn, Error, audit};

/// Releases the GPU leases of these attempts. The attempts themselves are marked by the caller.
pub(super) async fn release_leases(connection: &mut Conn, attempts: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "update gpu_leases set released_at = clock_timestamp() where (attempt_id, gpu_uuid) in (
             select attempt_id, gpu_uuid from gpu_leases
             where attempt_id = any($1) and released_at is null order by gpu_uuid)",
        attempts,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What came of giving back an attempt's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// CPU, memory and GPUs are free again.
    Released,
    /// They had been given back before; nothing was written.
    AlreadyReleased,
}

/// Gives back what an ended attempt holds, once its container is confirmed gone. Idempotent; writes `entry` (an
/// audit row, normally `remove`) only when something was released.
///
/// # Errors
/// A database error, or [`Error::NotFound`] when the attempt is unknown or still open.
pub async fn release(
    connection: &mut Conn,
    attempt: AttemptId,
    entry: audit::Entry,
) -> Result<Release, Error> {
    let row = sqlx::query!(
        r#"select released_at is not null as "released!" from attempts
           where id = $1 and state in ('done', 'lost') for no key update"#,
        attempt.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| Error::NotFound { what: "ended attempt", id: attempt.to_string() })?;
    if row.released {
        return Ok(Release::AlreadyReleased);
    }
    sqlx::query!("update attempts set released_at = now() where id = $1", attempt.uuid())
        .execute(&mut *connection)
        .await?;
    release_leases(connection, &[attempt.uuid()]).await?;
    audit::write(connection, entry).await?;
    Ok(Release::Released)
}
