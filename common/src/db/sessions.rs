//! Sessions of the pages at rest: the hash of what the browser holds, and the key that it stands for.

use cyberbrain_core::ids::ApiKeyId;

use super::{Col, Conn, Error};
use crate::keys::{Principal, Scope};

/// Stores a session.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    connection: &mut Conn,
    token_sha256: &[u8; 32],
    key: ApiKeyId,
    lives_seconds: f64,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into sessions (token_sha256, api_key_id, expires_at) values ($1, $2, now() + make_interval(secs => $3))",
        token_sha256.as_slice(),
        key.uuid(),
        lives_seconds,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whose session it is; `None` if it has ended, or its key was revoked or has expired.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, token_sha256: &[u8; 32]) -> Result<Option<Principal>, Error> {
    let row = sqlx::query!(
        r#"select k.id, k.name, k.scope as "scope: Col<Scope>" from sessions s join api_keys k on k.id = s.api_key_id
           where s.token_sha256 = $1 and s.expires_at > now() and k.revoked_at is null
               and (k.expires_at is null or k.expires_at > now())"#,
        token_sha256.as_slice(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Principal { key: row.id.into(), name: row.name, scope: row.scope.0 }))
}

/// Ends a session; whether there was one.
///
/// # Errors
/// When the database refuses.
pub async fn delete(connection: &mut Conn, token_sha256: &[u8; 32]) -> Result<bool, Error> {
    let done = sqlx::query!("delete from sessions where token_sha256 = $1", token_sha256.as_slice())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Makes room: deletes what has expired (`limit` at most) and, of this key, all but its newest `keep`.
///
/// # Errors
/// When the database refuses.
pub async fn prune(connection: &mut Conn, key: ApiKeyId, keep: i64, limit: i64) -> Result<(), Error> {
    sqlx::query!(
        "delete from sessions where token_sha256 in (
             (select token_sha256 from sessions where expires_at <= now() order by expires_at limit $3)
             union all
             (select token_sha256 from sessions where api_key_id = $1
              order by created_at desc, token_sha256 offset $2))",
        key.uuid(),
        keep,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(())
}
