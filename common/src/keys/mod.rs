//! API keys: who may ask for what.
//!
//! A key is `cb_<prefix>_<secret>`. The database has the prefix and the SHA-256 of the secret; the secret is shown
//! once. 256 random bits need no slow hash. Guarantees that an unknown, expired or revoked key proves nothing, and
//! that comparing takes the same time whatever is wrong with it. Deliberately absent: people, passwords, sessions.

mod admin;
mod request;
mod text;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::ApiKeyId,
    text_enum,
};
use serde_json::json;
use sqlx::Connection as _;
use subtle::ConstantTimeEq as _;

pub use admin::{ADMIN_KEY_FILE, AdminKey, Error as AdminKeyError, NotHere, ensure_admin};
pub use request::{Error as KeyError, NewKeyRequest, end, make};
pub use text::{KeyName, KeyText, MalformedKey, MalformedName};

use crate::{
    db::{
        self, Conn, Pool, api_keys,
        audit::{self, Entry},
    },
    ids::fresh,
};

text_enum! {
    /// What a key allows; each includes the ones before it.
    Scope("scope") {
        /// Look.
        Viewer = "viewer",
        /// Launch and cancel.
        Operator = "operator",
        /// Change the installation.
        Admin = "admin",
    }
}

impl Scope {
    /// Whether a key of this scope may do what needs `needed`.
    #[must_use]
    pub fn covers(self, needed: Self) -> bool {
        self >= needed
    }
}

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub key: ApiKeyId,
    pub name: String,
    pub scope: Scope,
}

impl Principal {
    /// As the audit trail names them.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Key(self.name.clone())
    }
}

/// Why a key proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("the key does not have the form cb_<prefix>_<secret>")]
    Malformed(#[from] MalformedKey),
    /// No such prefix, or another secret; which of the two is not told.
    #[error("the key is not known")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error("the key was revoked")]
    Revoked,
    /// Nothing is known about the key.
    #[error("the key can't be looked up")]
    Database(#[from] db::Error),
}

/// Finds out who holds this key.
///
/// # Errors
/// See [`Denied`].
pub async fn authenticate(connection: &mut Conn, given: &str) -> Result<Principal, Denied> {
    let key: KeyText = given.parse()?;
    let stored = api_keys::find(connection, key.prefix()).await?;
    let hash = key.secret_sha256();
    // An unknown prefix is compared too, with a hash that no secret has been found to give.
    let expected = stored.as_ref().map_or(&[0_u8; 32][..], |stored| &stored.secret_sha256);
    let same = bool::from(hash.ct_eq(expected));
    let stored = stored.filter(|_| same).ok_or(Denied::Unknown)?;
    if stored.revoked {
        return Err(Denied::Revoked);
    }
    if stored.expired {
        return Err(Denied::Expired);
    }
    if stored.use_is_news
        && let Err(error) = api_keys::touch(connection, stored.id).await
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the last use of a key was not written down"
        );
    }
    Ok(Principal { key: stored.id, name: stored.name, scope: stored.scope })
}

/// A key to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: KeyName,
    pub scope: Scope,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key in the caller's transaction. What is returned is the only copy of its secret.
///
/// # Errors
/// The constraint `api_keys_name_unique` when the name is taken, or another database error.
pub async fn create(connection: &mut Conn, key: &NewKey, actor: &Actor) -> Result<KeyText, db::Error> {
    let text = KeyText::generate();
    let row = api_keys::NewRow {
        id: fresh(),
        name: key.name.as_str(),
        prefix: text.prefix(),
        secret_sha256: &text.secret_sha256(),
        scope: key.scope,
        expires_at: key.expires_at,
    };
    api_keys::insert(connection, &row).await?;
    let changed = json!({
        "api_key": key.name.as_str(), "scope": key.scope, "expires_at": key.expires_at, "change": "created",
    });
    audit::write(connection, Entry::new(Operation::Change, actor).config(changed)).await?;
    Ok(text)
}

/// Makes a key for somebody who has the database itself: the way back in when all keys are lost.
///
/// # Errors
/// As [`create`].
pub async fn create_local(pool: &Pool, key: &NewKey) -> Result<KeyText, db::Error> {
    let mut tx = pool.begin().await?;
    let text = create(&mut tx, key, &Actor::System("local")).await?;
    tx.commit().await?;
    Ok(text)
}

/// Revokes the key of this name. Idempotent.
///
/// # Errors
/// [`db::Error::NotFound`] when there is none, or another database error.
pub async fn revoke(connection: &mut Conn, name: &KeyName, actor: &Actor) -> Result<(), db::Error> {
    let mut tx = connection.begin().await?;
    api_keys::revoke(&mut tx, name.as_str())
        .await?
        .ok_or_else(|| db::Error::NotFound { what: "API key", id: name.to_string() })?;
    let changed = json!({ "api_key": name.as_str(), "change": "revoked" });
    audit::write(&mut tx, Entry::new(Operation::Change, actor).config(changed)).await?;
    tx.commit().await?;
    Ok(())
}
