//! API keys at rest: prefix, scope and the hash of the secret, never the secret.

use chrono::{DateTime, Utc};
use cyberbrain_core::ids::ApiKeyId;

use super::{Col, Conn, Error, runs::After};
use crate::keys::Scope;

/// How old `last_used_at` may be before a use is written again.
const LAST_USED_SECONDS: f64 = 60.0;

/// A key to be.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub id: ApiKeyId,
    pub name: &'a str,
    pub prefix: &'a str,
    pub secret_sha256: &'a [u8; 32],
    pub scope: Scope,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A stored key, as of the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub id: ApiKeyId,
    pub name: String,
    pub secret_sha256: Vec<u8>,
    pub scope: Scope,
    pub expired: bool,
    pub revoked: bool,
    /// Whether its use is to be written down.
    pub use_is_news: bool,
}

/// Stores a key.
///
/// # Errors
/// A constraint (`api_keys_name_unique`) when the name is taken, or another database error.
pub async fn insert(connection: &mut Conn, key: &NewRow<'_>) -> Result<(), Error> {
    sqlx::query!(
        "insert into api_keys (id, name, prefix, secret_sha256, scope, expires_at) values ($1, $2, $3, $4, $5, $6)",
        key.id.uuid(),
        key.name,
        key.prefix,
        key.secret_sha256.as_slice(),
        key.scope.as_str(),
        key.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The key with this prefix.
///
/// # Errors
/// When the database can't be read.
pub async fn find(connection: &mut Conn, prefix: &str) -> Result<Option<StoredKey>, Error> {
    let row = sqlx::query!(
        r#"select id, name, secret_sha256, scope as "scope: Col<Scope>",
             coalesce(expires_at <= now(), false) as "expired!", revoked_at is not null as "revoked!",
             coalesce(last_used_at < now() - make_interval(secs => $2), true) as "use_is_news!"
           from api_keys where prefix = $1"#,
        prefix,
        LAST_USED_SECONDS,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| StoredKey {
        id: row.id.into(),
        name: row.name,
        secret_sha256: row.secret_sha256,
        scope: row.scope.0,
        expired: row.expired,
        revoked: row.revoked,
        use_is_news: row.use_is_news,
    }))
}

/// Whether the key of this id is neither revoked nor expired.
///
/// # Errors
/// When the database can't be read.
pub async fn is_valid(connection: &mut Conn, key: ApiKeyId) -> Result<bool, Error> {
    let valid = sqlx::query_scalar!(
        r#"select exists (select from api_keys
             where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())) as "valid!""#,
        key.uuid(),
    );
    Ok(valid.fetch_one(connection).await?)
}

/// Writes down that the key was used, unless somebody else is writing it right now.
///
/// # Errors
/// When the database refuses.
pub async fn touch(connection: &mut Conn, key: ApiKeyId) -> Result<(), Error> {
    sqlx::query!(
        "update api_keys set last_used_at = now()
         where id = (select id from api_keys where id = $1 for no key update skip locked)",
        key.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes the key of this name; `None` if there is none. A revoked key stays revoked since the first time.
///
/// # Errors
/// When the database refuses.
pub async fn revoke(connection: &mut Conn, name: &str) -> Result<Option<ApiKeyId>, Error> {
    let id = sqlx::query_scalar!(
        "update api_keys set revoked_at = coalesce(revoked_at, now()) where name = $1 returning id",
        name,
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(Into::into))
}

/// Whether any admin key was ever made. Holds a lock to the end of the transaction, so that of several processes
/// that start at once one makes the first key.
///
/// # Errors
/// When the database can't be read.
pub async fn lock_and_find_admin(connection: &mut Conn) -> Result<bool, Error> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('cyberbrain.first_admin_key', 0))::text as "locked""#
    )
    .fetch_one(&mut *connection)
    .await?;
    let known =
        sqlx::query_scalar!(r#"select exists (select 1 from api_keys where scope = 'admin') as "known!""#)
            .fetch_one(connection)
            .await?;
    Ok(known)
}

/// A key as people see it: never its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub id: ApiKeyId,
    pub name: String,
    pub prefix: String,
    pub scope: Scope,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

struct Row {
    id: uuid::Uuid,
    name: String,
    prefix: String,
    scope: Col<Scope>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Row> for KeyRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            prefix: row.prefix,
            scope: row.scope.0,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// A page of keys, newest first, ended ones too.
///
/// # Errors
/// When the database can't be read.
pub async fn list(connection: &mut Conn, after: Option<After>, limit: i64) -> Result<Vec<KeyRow>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, prefix, scope as "scope: Col<Scope>", created_at, expires_at, revoked_at, last_used_at
           from api_keys where $1::timestamptz is null or (created_at, id) < ($1, $2)
           order by created_at desc, id desc limit $3"#,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One key.
///
/// # Errors
/// When the database can't be read.
pub async fn by_id(connection: &mut Conn, key: ApiKeyId) -> Result<Option<KeyRow>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, name, prefix, scope as "scope: Col<Scope>", created_at, expires_at, revoked_at, last_used_at
           from api_keys where id = $1"#,
        key.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// The key with this prefix.
///
/// # Errors
/// When the database can't be read.
pub async fn by_prefix(connection: &mut Conn, prefix: &str) -> Result<Option<KeyRow>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, name, prefix, scope as "scope: Col<Scope>", created_at, expires_at, revoked_at, last_used_at
           from api_keys where prefix = $1"#,
        prefix,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// Lets one transaction at a time end admin keys.
///
/// # Errors
/// When the database can't be read.
pub async fn lock_admins(connection: &mut Conn) -> Result<(), Error> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('cyberbrain.first_admin_key', 0))::text as "locked""#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Whether a valid admin key other than this one is left.
///
/// # Errors
/// When the database can't be read.
pub async fn has_other_admin(connection: &mut Conn, key: ApiKeyId) -> Result<bool, Error> {
    let left = sqlx::query_scalar!(
        r#"select exists (select 1 from api_keys where scope = 'admin' and id <> $1 and revoked_at is null
               and (expires_at is null or expires_at > now())) as "left!""#,
        key.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(left)
}
