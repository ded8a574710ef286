//! Idempotency keys: the same request sent twice makes one Run.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::db::idempotency::Slot;

/// How long a key is remembered.
pub const KEY_LIFETIME_HOURS: i32 = 24;

/// A client's key: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that can't be an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an idempotency key has 1 to 255 printable ASCII characters, e.g. a UUID")
    }
}

impl std::error::Error for InvalidKey {}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if (1..=255).contains(&text.len()) && printable { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

/// Where and under which key a request counts as the same one. Together with who asks.
#[derive(Debug, Clone)]
pub struct Once<'a> {
    /// The route, e.g. `POST /api/v1/runs`: a key means nothing on another one.
    pub route: &'a str,
    pub key: IdempotencyKey,
}

impl Once<'_> {
    /// Where it is stored for this principal.
    pub(super) fn slot<'a>(&'a self, principal: &'a str) -> Slot<'a> {
        Slot { principal, route: self.route, key: self.key.as_str() }
    }
}

/// SHA-256 of a request in canonical form: white space, the order of keys and spelled-out defaults make no
/// difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of anything that was read from a request.
    ///
    /// # Panics
    /// Never for our request types: they have text keys and finite numbers only.
    #[must_use]
    pub fn of<T: Serialize>(request: &T) -> Self {
        let value = serde_json::to_value(request).expect("a request serializes: all keys are text");
        let mut hasher = Sha256::new();
        hash(&value, &mut hasher);
        Self(hasher.finalize().into())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Feeds canonical JSON: no white space, keys in byte order.
fn hash(value: &Value, into: &mut Sha256) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            into.update(b"{");
            for key in keys {
                hash_text(key, into);
                into.update(b":");
                hash(&map[key], into);
                into.update(b",");
            }
            into.update(b"}");
        }
        Value::Array(items) => {
            into.update(b"[");
            for item in items {
                hash(item, into);
                into.update(b",");
            }
            into.update(b"]");
        }
        Value::String(text) => hash_text(text, into),
        Value::Null | Value::Bool(_) | Value::Number(_) => into.update(value.to_string()),
    }
}

/// With its length in front, so that no text can imitate a delimiter.
fn hash_text(text: &str, into: &mut Sha256) {
    into.update(format!("\"{}:", text.len()));
    into.update(text);
}
