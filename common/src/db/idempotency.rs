//! Idempotency keys: which request of whom made which Run.

use cyberbrain_core::ids::RunId;

use super::{Conn, Error};

/// What a key belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// Who asks.
    pub principal: &'a str,
    /// For what.
    pub route: &'a str,
    pub key: &'a str,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the canonical request.
    pub fingerprint: Vec<u8>,
    pub run: RunId,
}

/// Keeps our advisory locks apart from those of others that hash texts.
const LOCK_SEED: i64 = 0x6964_656d;

/// Waits until no other transaction holds this key, and holds it to the end of this one.
///
/// # Errors
/// SQLSTATE 55P03 when it was not had within the connection's `lock_timeout`, or another database error.
pub async fn lock(connection: &mut Conn, slot: Slot<'_>) -> Result<(), Error> {
    // The texts can't contain U+001F: principals and routes are ours, keys are printable.
    let text = format!("{}\u{1f}{}\u{1f}{}", slot.principal, slot.route, slot.key);
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, $2))", text, LOCK_SEED)
        .execute(connection)
        .await?;
    Ok(())
}

/// What was stored under the key in the last `lifetime_hours`.
///
/// # Errors
/// When the database can't be read.
pub async fn find(
    connection: &mut Conn,
    slot: Slot<'_>,
    lifetime_hours: i32,
) -> Result<Option<Known>, Error> {
    let row = sqlx::query!(
        "select fingerprint, run_id from idempotency_keys
         where principal = $1 and route = $2 and key = $3 and created_at > now() - make_interval(hours => $4)",
        slot.principal,
        slot.route,
        slot.key,
        lifetime_hours,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Known { fingerprint: row.fingerprint, run: row.run_id.into() }))
}

/// Stores the key of a Run; takes the place of one whose time is over. To be called under [`lock`].
///
/// # Errors
/// When the database refuses.
pub async fn store(
    connection: &mut Conn,
    slot: Slot<'_>,
    fingerprint: &[u8; 32],
    run: RunId,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into idempotency_keys (principal, route, key, fingerprint, run_id) values ($1, $2, $3, $4, $5)
         on conflict (principal, route, key) do update
             set fingerprint = excluded.fingerprint, run_id = excluded.run_id, created_at = now()",
        slot.principal,
        slot.route,
        slot.key,
        fingerprint.as_slice(),
        run.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
