//! The text of a key, and the name that people give it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng as _, RngCore as _};
use sha2::{Digest as _, Sha256};

const MARK: &str = "cb_";
const PREFIX_CHARACTERS: usize = 8;
const PREFIX_ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const SECRET_BYTES: usize = 32;
/// [`SECRET_BYTES`] in base64 without padding.
const SECRET_CHARACTERS: usize = 43;

/// A whole key. Its `Debug` form hides the secret; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    prefix: String,
    secret: String,
}

/// A text that can't be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form cb_<8 characters>_<43 characters>")]
pub struct MalformedKey;

impl KeyText {
    /// A new one, from the system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let prefix = (0..PREFIX_CHARACTERS)
            .map(|_| char::from(PREFIX_ALPHABET[random.random_range(0..PREFIX_ALPHABET.len())]))
            .collect();
        let mut secret = [0_u8; SECRET_BYTES];
        random.fill_bytes(&mut secret);
        Self { prefix, secret: URL_SAFE_NO_PAD.encode(secret) }
    }

    /// Finds its row; no secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole key, to be shown once.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{MARK}{}_{}", self.prefix, self.secret)
    }

    /// What is stored of the secret.
    #[must_use]
    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.secret).into()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({MARK}{}_…)", self.prefix)
    }
}

impl FromStr for KeyText {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let (prefix, secret) =
            text.strip_prefix(MARK).and_then(|rest| rest.split_once('_')).ok_or(MalformedKey)?;
        let prefix_fits =
            prefix.len() == PREFIX_CHARACTERS && prefix.bytes().all(|byte| PREFIX_ALPHABET.contains(&byte));
        let secret_fits = secret.len() == SECRET_CHARACTERS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if prefix_fits && secret_fits {
            Ok(Self { prefix: prefix.to_owned(), secret: secret.to_owned() })
        } else {
            Err(MalformedKey)
        }
    }
}

/// What people call a key: 1 to 64 letters, digits, dots, dashes and underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

/// A text that can't be a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's name has 1 to 64 letters, digits, dots, dashes and underscores")]
pub struct MalformedName;

impl KeyName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedName)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_and_hides_its_secret() {
        let key = KeyText::generate();
        assert_eq!(key.expose().parse::<KeyText>().unwrap(), key);
        assert_eq!(key.expose().len(), 3 + 8 + 1 + 43);
        assert!(!format!("{key:?}").contains(&key.secret), "{key:?}");
        assert_ne!(KeyText::generate(), key);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = KeyText::generate().expose();
        let secret = &good[12..];
        let bad = [
            String::new(),
            "cb_".into(),
            good[1..].into(),
            good[..good.len() - 1].into(),
            format!("{good}A"),
            format!("cb_ABCDEFGH_{secret}"),
            format!("cb_abcdefg_{secret}"),
            format!("cb_abcdefgh_{}\u{e4}", &secret[..41]),
            format!("cb_abcdefgh {secret}"),
        ];
        for text in bad {
            assert_eq!(text.parse::<KeyText>(), Err(MalformedKey), "{text:?}");
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["admin", "ci-runner.2", "A_b"] {
            assert_eq!(good.parse::<KeyName>().unwrap().as_str(), good);
        }
        for bad in ["", "two words", "ä", "a\u{1f}b", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<KeyName>(), Err(MalformedName), "{bad:?}");
        }
    }
}
