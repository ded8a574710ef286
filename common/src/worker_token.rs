//! Worker tokens: what a worker shows to the LLM gateway of its host.
//!
//! A token is the attempt's id and an HMAC-SHA256 of it under the installation's secret. So every launcher of the
//! installation knows every worker's token without keeping it, and a container that is adopted keeps its own. Guarantees
//! that nobody without the secret can make one, and that checking takes the same time whatever is wrong. Deliberately
//! absent: an expiry. A token is good while its attempt is open; who checks it asks for that.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cyberbrain_core::ids::AttemptId;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// What every token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "cbw_";

/// The token was not made for any attempt of this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker token is malformed or not of this installation")]
pub struct Refused;

/// The token of this attempt's worker.
#[must_use]
pub fn sign(secret: &[u8], attempt: AttemptId) -> String {
    let mac = mac(secret, attempt).finalize().into_bytes();
    format!("{PREFIX}{}_{}", attempt.uuid().simple(), URL_SAFE_NO_PAD.encode(mac))
}

/// Whose token it is.
///
/// # Errors
/// [`Refused`].
pub fn check(secret: &[u8], token: &str) -> Result<AttemptId, Refused> {
    let (id, given) = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(Refused)?;
    // One spelling: what `sign` writes.
    let id = Uuid::try_parse(id).ok().filter(|parsed| parsed.simple().to_string() == id).ok_or(Refused)?;
    let given = URL_SAFE_NO_PAD.decode(given).map_err(|_| Refused)?;
    let attempt = AttemptId::from(id);
    // Compares in constant time.
    mac(secret, attempt).verify_slice(&given).map_err(|_| Refused)?;
    Ok(attempt)
}

/// The text is told apart from that of a file token by its beginning and by having no `|` at its end.
fn mac(secret: &[u8], attempt: AttemptId) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"llm-gateway:");
    mac.update(attempt.uuid().as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::fresh;

    const SECRET: &[u8] = b"an installation's secret";

    #[test]
    fn a_token_says_whose_it_is_and_nobody_else_can_make_it() {
        let attempt: AttemptId = fresh();
        let token = sign(SECRET, attempt);
        assert_eq!(check(SECRET, &token), Ok(attempt));
        assert_eq!(sign(SECRET, attempt), token, "every launcher makes the same");
        assert_eq!(check(b"another secret", &token), Err(Refused));
    }

    #[test]
    fn nothing_of_a_token_can_be_exchanged() {
        let (attempt, other): (AttemptId, AttemptId) = (fresh(), fresh());
        let token = sign(SECRET, attempt);
        let mac = &token[PREFIX.len() + 33..];
        let bad = [
            String::new(),
            PREFIX.to_owned(),
            format!("{PREFIX}{}_{mac}", other.uuid().simple()),
            format!("{PREFIX}{}_{mac}", attempt.uuid()),
            format!("{PREFIX}{}_{mac}", attempt.uuid().simple().to_string().to_uppercase()),
            format!("{PREFIX}{}", attempt.uuid().simple()),
            format!("{PREFIX}{}_", attempt.uuid().simple()),
            format!("{token}A"),
            format!("{token}="),
            token[..token.len() - 1].to_owned(),
            token[PREFIX.len()..].to_owned(),
            format!(" {token}"),
        ];
        for bad in bad {
            assert_eq!(check(SECRET, &bad), Err(Refused), "{bad}");
        }
    }
}
