//! File tokens: what lets the api read one file of a host, for a minute.
//!
//! A token is an HMAC-SHA256 under the installation's secret over `path|expires|purpose`. The last two never hold a `|`,
//! so no two files share a text. Guarantees that a token opens one path, for one purpose, until it expires, and that
//! checking it takes the same time whatever is wrong with it. Deliberately absent: who asks; the api has checked that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cyberbrain_core::text_enum;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How long a token opens its file. A transfer that has begun goes on.
pub const LIFE: Duration = Duration::from_secs(60);
/// What the first part of the address of a file is; the rest is [`encode_path`].
pub const ROUTE: &str = "/files/";

text_enum! {
    /// What the file is wanted for.
    Purpose("purpose of a file token") {
        /// To be downloaded.
        Artifact = "artifact",
        /// To be shown or followed.
        Log = "log",
    }
}

/// The token is not good for this file now. Which of the reasons it is, is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file token is malformed, expired, or made for another file")]
pub struct Refused;

/// Makes a token for the file with this path below the logs root.
#[must_use]
pub fn sign(secret: &[u8], path: &str, purpose: Purpose, now: SystemTime) -> String {
    let expires = seconds(now + LIFE);
    let mac = mac(secret, path, expires, purpose).finalize().into_bytes();
    format!("{expires}.{purpose}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// Checks a token for this path.
///
/// # Errors
/// [`Refused`].
pub fn check(secret: &[u8], path: &str, token: &str, now: SystemTime) -> Result<Purpose, Refused> {
    let mut parts = token.splitn(3, '.');
    let mut part = || parts.next().ok_or(Refused);
    let (expires, purpose, given) = (part()?, part()?, part()?);
    let expires: u64 = expires.parse().map_err(|_| Refused)?;
    let purpose: Purpose = purpose.parse().map_err(|_| Refused)?;
    let given = URL_SAFE_NO_PAD.decode(given).map_err(|_| Refused)?;
    // Compares in constant time.
    mac(secret, path, expires, purpose).verify_slice(&given).map_err(|_| Refused)?;
    // A token from the far future was made by no clock of ours.
    let soonest = seconds(now);
    let good = soonest < expires && expires <= soonest + 2 * LIFE.as_secs();
    if good { Ok(purpose) } else { Err(Refused) }
}

/// The path as one part of an address, with one spelling only.
#[must_use]
pub fn encode_path(path: &str) -> String {
    URL_SAFE_NO_PAD.encode(path)
}

/// The reverse of [`encode_path`]; `None` for what it never makes.
#[must_use]
pub fn decode_path(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn mac(secret: &[u8], path: &str, expires: u64, purpose: Purpose) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{path}|{expires}|{purpose}").as_bytes());
    mac
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"an installation's secret";
    const PATH: &str = "runs/r/j/a/out/report.md";

    #[test]
    fn a_token_opens_its_file_until_it_expires() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let token = sign(SECRET, PATH, Purpose::Artifact, now);
        assert_eq!(check(SECRET, PATH, &token, now), Ok(Purpose::Artifact));
        assert_eq!(check(SECRET, PATH, &token, now + Duration::from_secs(59)), Ok(Purpose::Artifact));
        assert_eq!(check(SECRET, PATH, &token, now + LIFE), Err(Refused));
        assert_eq!(check(SECRET, PATH, &token, now - Duration::from_secs(3_600)), Err(Refused));
        assert_eq!(check(b"another secret", PATH, &token, now), Err(Refused));
    }

    #[test]
    fn nothing_of_a_token_can_be_exchanged() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let token = sign(SECRET, PATH, Purpose::Artifact, now);
        let (head, mac) = token.rsplit_once('.').unwrap();
        let later = token.replacen("1795000060", "1795000090", 1);
        let other_purpose = token.replacen("artifact", "log", 1);
        assert!(later != token && other_purpose != token);
        let bad = [
            "",
            ".",
            "..",
            mac,
            head,
            &later,
            &other_purpose,
            &format!("{head}."),
            &format!("{token}A"),
            &format!("{token}="),
            &token[..token.len() - 1],
            "1795000060.artifact.",
            "-1.artifact.AAAA",
            "99999999999999999999.log.AAAA",
        ];
        for bad in bad {
            assert_eq!(check(SECRET, PATH, bad, now), Err(Refused), "{bad}");
        }
        for other in ["", "runs/r/j/a/out/report.md ", "runs/r/j/a/out/report.m", "/runs/r/j/a/out/report.md"]
        {
            assert_eq!(check(SECRET, other, &token, now), Err(Refused), "{other}");
        }
        // A path that looks like the rest of another text.
        let shifted = sign(SECRET, "a|1795000060|log", Purpose::Log, now);
        assert_eq!(check(SECRET, "a", &shifted, now), Err(Refused));
    }

    #[test]
    fn paths_have_one_spelling() {
        for path in ["a", "runs/x/../y", "ü/\u{202e}b", "a b%2f..", ""] {
            assert_eq!(decode_path(&encode_path(path)).as_deref(), Some(path));
        }
        for bad in ["runs/a", "..", "%2e%2e", "YQ==", "YR", "_w"] {
            assert_eq!(decode_path(bad), None, "{bad}");
        }
    }
}
