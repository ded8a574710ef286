//! Keys as admins make and end them over the API.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::ApiKeyId,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection as _;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use super::{KeyName, KeyText, NewKey, Scope, create};
use crate::{
    db::{
        self, Conn,
        api_keys::{self, KeyRow},
        audit::{self, Entry},
    },
    launch::{
        Problem,
        object::object_only,
        problem::{Pointer, Problems},
    },
};

/// A key to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NewKeyRequest {
    /// 1 to 64 letters, digits, dots, dashes and underscores; unique, also among keys that were revoked.
    #[schema(schema_with = key_name)]
    pub name: String,
    pub scope: Scope,
    /// Without it the key does not expire.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

object_only!(NewKeyRequest);

fn key_name() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9A-Za-z._-]{1,64}$")).build()
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the key has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    #[error("there is or was a key named {0}: take another name")]
    NameTaken(String),
    /// Nobody could make keys any more.
    #[error("{0} is the last admin key that is valid: make another one first")]
    LastAdmin(String),
    #[error("the key could not be stored")]
    Database(#[from] db::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Makes a key. The text is the only copy of its secret.
///
/// # Errors
/// See [`Error`].
pub async fn make(
    connection: &mut Conn,
    request: &NewKeyRequest,
    actor: &Actor,
) -> Result<(KeyText, KeyRow), Error> {
    let name: KeyName = request.name.parse().map_err(|error: super::MalformedName| {
        let mut problems = Problems::default();
        problems.add(&Pointer::Root.key("name"), error.to_string());
        Error::Invalid(problems.finish().err().unwrap_or_default())
    })?;
    let mut tx = connection.begin().await?;
    let new = NewKey { name, scope: request.scope, expires_at: request.expires_at };
    let text = create(&mut tx, &new, actor).await.map_err(|error| match error {
        db::Error::Constraint { constraint, .. } if constraint == "api_keys_name_unique" => {
            Error::NameTaken(request.name.clone())
        }
        other => Error::Database(other),
    })?;
    let row = api_keys::by_prefix(&mut tx, text.prefix())
        .await?
        .ok_or_else(|| db::Error::NotFound { what: "API key", id: request.name.clone() })?;
    tx.commit().await?;
    Ok((text, row))
}

/// Revokes a key; repeating it changes nothing.
///
/// # Errors
/// See [`Error`].
pub async fn end(connection: &mut Conn, key: ApiKeyId, actor: &Actor) -> Result<(), Error> {
    let mut tx = connection.begin().await?;
    // Of two that revoke the last two admin keys at once, one sees that it would be the last.
    api_keys::lock_admins(&mut tx).await?;
    let row = api_keys::by_id(&mut tx, key)
        .await?
        .ok_or_else(|| db::Error::NotFound { what: "API key", id: key.to_string() })?;
    if row.revoked_at.is_some() {
        return Ok(());
    }
    if row.scope == Scope::Admin && !api_keys::has_other_admin(&mut tx, key).await? {
        return Err(Error::LastAdmin(row.name));
    }
    api_keys::revoke(&mut tx, &row.name).await?;
    let changed = json!({ "api_key": row.name, "change": "revoked" });
    audit::write(&mut tx, Entry::new(Operation::Change, actor).config(changed)).await?;
    tx.commit().await?;
    Ok(())
}
