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
        // user:password@ in a URL, up to the last @ before its path
        (r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/]*@", "$1<redacted>@"),
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
#[path = "redact_test.rs"]
mod tests;
