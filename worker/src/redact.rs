//! Takes out of a text what must not be shown: credentials, and the addresses of people and machines.
//!
//! Applied to every piece of a log before it goes into a report or an artifact. It knows the usual forms of
//! credentials; it can't know a password that stands in a sentence.

use std::{borrow::Cow, net::Ipv6Addr, sync::LazyLock};

use regex::{Captures, Regex};

/// What is put in place of a credential.
pub const REDACTED: &str = "<redacted>";

struct Rule {
    pattern: Regex,
    replacement: &'static str,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rules: [(&str, &str); 10] = [
        // user:password@ in a URL
        (r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]*@", "$1<redacted>@"),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", "<redacted>"),
        (r"(?i)\b(bearer|basic|digest)\s+[a-z0-9._~+/=-]{6,}", "$1 <redacted>"),
        // key=value, key: value, "key": "value"
        (
            concat!(
                r#"(?i)((?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"#,
                r#"|authorization|cookie|session[_-]?id|credential)s?["']?\s*[=:]\s*)"#,
                r#"("(?:[^"\\]|\\.)*"|'[^']*'|(?:(?:bearer|basic|digest)\s+)?[^\s,;&"'})\]]+)"#
            ),
            "$1<redacted>",
        ),
        // password 'value' and identified by 'value', as SQL says it
        (
            r#"(?i)\b((?:password|passphrase|secret|identified\s+by)\s+)('(?:[^']|'')*'|"[^"]*")"#,
            "$1<redacted>",
        ),
        // --password value
        (
            r"(?i)(--?[a-z-]*(?:password|passwd|passphrase|secret|token|api-?key)\s+)([^\s<-]\S*)",
            "$1<redacted>",
        ),
        (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*", "<redacted>"),
        (
            r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{16,}|xox[abeprs]-[A-Za-z0-9-]{8,}|sk-[A-Za-z0-9_-]{12,}|glpat-[A-Za-z0-9_-]{12,})",
            "<redacted>",
        ),
        (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "<email>"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "<ip>"),
    ];
    rules.into_iter().map(|(pattern, replacement)| Rule { pattern: compiled(pattern), replacement }).collect()
});

static OPAQUE: LazyLock<Regex> = LazyLock::new(|| compiled(r"[A-Za-z0-9]{32,}"));
static IPV6: LazyLock<Regex> = LazyLock::new(|| compiled(r"(?i)\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b"));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are constants, and a test compiles them all")
}

/// The text without credentials and addresses.
pub fn redact(text: &str) -> String {
    let mut out = Cow::Borrowed(text);
    for rule in RULES.iter() {
        if let Cow::Owned(changed) = rule.pattern.replace_all(&out, rule.replacement) {
            out = Cow::Owned(changed);
        }
    }
    let out = OPAQUE.replace_all(&out, |found: &Captures<'_>| {
        let word = &found[0];
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if digits >= 4 { REDACTED.to_owned() } else { word.to_owned() }
    });
    let out = IPV6.replace_all(&out, |found: &Captures<'_>| {
        let word = &found[0];
        // `a::b` is a path in many languages; an address of a machine has digits.
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_address = digits >= 2 && word.parse::<Ipv6Addr>().is_ok();
        if is_address { "<ip>".to_owned() } else { word.to_owned() }
    });
    out.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_addresses_go() {
        let cases = [
            ("connect postgres://shop:hunter2@db:5432/shop", "connect postgres://<redacted>@db:5432/shop"),
            ("Authorization: Bearer abc.def-123", "Authorization: <redacted>"),
            ("sent bearer abcdef123", "sent bearer <redacted>"),
            ("DB_PASSWORD=hunter2, retries=3", "DB_PASSWORD=<redacted>, retries=3"),
            (r#"{"api_key": "a b\"c", "n": 1}"#, r#"{"api_key": <redacted>, "n": 1}"#),
            ("key AKIAIOSFODNN7EXAMPLE used", "key <redacted> used"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt <redacted>"),
            ("mail to jo.doe+x@example.co.uk now", "mail to <email> now"),
            ("from 10.1.2.3:443 and fe80::1%eth0 at 12:34:56", "from <ip>:443 and <ip>%eth0 at 12:34:56"),
            ("digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "digest <redacted>"),
            ("ALTER ROLE shop PASSWORD 'it''s me' VALID", "ALTER ROLE shop PASSWORD <redacted> VALID"),
            ("create user x identified by \"hunter2\"", "create user x identified by <redacted>"),
            ("ran login --password hunter2 --user jo", "ran login --password <redacted> --user jo"),
            ("password authentication failed for \"jo\"", "password authentication failed for \"jo\""),
            ("std::vec::Vec and a::b", "std::vec::Vec and a::b"),
            ("nothing to hide: 17 of 20 done", "nothing to hide: 17 of 20 done"),
        ];
        for (given, expected) in cases {
            assert_eq!(redact(given), expected, "for {given:?}");
        }
    }

    #[test]
    fn twice_is_once() {
        for text in ["password=x token: y", "a@b.c 1.2.3.4", "Authorization: Basic dXNlcjpwYXNz"] {
            assert_eq!(redact(&redact(text)), redact(text));
        }
    }
}
