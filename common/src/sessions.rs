//! Sessions: a browser that has shown a key once, and shows a token of its own from then on.
//!
//! Guarantees that the database never has the token, that a session ends after twelve hours, when it is closed, and with its
//! key; and that a form that was not made for this session's holder can be told (`form_token`). Deliberately absent: a
//! session of more or less than its key's scope.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cyberbrain_core::audit::Operation;
use rand::RngCore as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use subtle::ConstantTimeEq as _;

use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        sessions,
    },
    keys::Principal,
};

/// How long a session lives, whatever is done in it.
pub const LIFETIME_SECONDS: u32 = 12 * 60 * 60;
/// Sessions of a key; the oldest one ends when there are more.
const PER_KEY: i64 = 100;
/// Expired ones that a login clears away.
const CLEARED: i64 = 1_000;

/// 256 random bits that a browser holds as a cookie. Its `Debug` form hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// A new one, from the system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The cookie's value.
    #[must_use]
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What forms carry, so that only pages that were made for the holder of the cookie can send them. Tells nothing of the
    /// cookie.
    #[must_use]
    pub fn form_token(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"cyberbrain form\0");
        hash.update(self.0);
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// Whether this came from a form of ours. Takes the same time whatever is wrong with it.
    #[must_use]
    pub fn made_form(&self, form_token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(form_token.as_bytes()).into()
    }

    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A text that can't be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the token of a session")]
pub struct MalformedToken;

impl FromStr for Token {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, MalformedToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedToken)?;
        Ok(Self(bytes.try_into().map_err(|_| MalformedToken)?))
    }
}

/// Opens a session for somebody who has just shown their key.
///
/// # Errors
/// A database error; there is no session then.
pub async fn open(connection: &mut Conn, principal: &Principal) -> Result<Token, db::Error> {
    let token = Token::generate();
    let mut tx = connection.begin().await?;
    sessions::prune(&mut tx, principal.key, PER_KEY - 1, CLEARED).await?;
    sessions::insert(&mut tx, &token.sha256(), principal.key, LIFETIME_SECONDS.into()).await?;
    let changed = json!({ "session": "opened", "api_key": principal.name });
    audit::write(&mut tx, Entry::new(Operation::Change, &principal.actor()).config(changed)).await?;
    tx.commit().await?;
    Ok(token)
}

/// Who holds this token, while its session lasts.
///
/// # Errors
/// A database error.
pub async fn find(connection: &mut Conn, token: &Token) -> Result<Option<Principal>, db::Error> {
    sessions::find(connection, &token.sha256()).await
}

/// Ends a session. Idempotent.
///
/// # Errors
/// A database error; the session lasts then.
pub async fn close(connection: &mut Conn, token: &Token, principal: &Principal) -> Result<(), db::Error> {
    let mut tx = connection.begin().await?;
    if sessions::delete(&mut tx, &token.sha256()).await? {
        let changed = json!({ "session": "closed", "api_key": principal.name });
        audit::write(&mut tx, Entry::new(Operation::Change, &principal.actor()).config(changed)).await?;
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_its_forms_are_its_own() {
        let (token, other) = (Token::generate(), Token::generate());
        assert_eq!(token.expose().parse(), Ok(token.clone()));
        assert!(token.made_form(&token.form_token()));
        for wrong in [other.form_token(), token.expose(), String::new()] {
            assert!(!token.made_form(&wrong));
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
        for bad in ["", "x", &token.expose()[1..], &format!("{}A", token.expose()), "ü"] {
            assert_eq!(bad.parse::<Token>(), Err(MalformedToken), "{bad}");
        }
    }
}
