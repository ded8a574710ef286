//! Takes secrets and addresses out of log lines, whoever wrote them.
//!
//! Works on the finished line, so that no field, error or library can slip past. A guard, not a licence: nothing
//! that must not be known is logged on purpose.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::LazyLock,
};

use regex::{Captures, Regex};

/// What is taken out, in this order. A group named `keep` stays.
const PATTERNS: [&str; 5] = [
    // Our own keys, and those of common services.
    r"\b(?:cb_[0-9a-z]{8}_|cbw_|sk-|ghp_|hf_)[0-9A-Za-z_-]{8,}",
    r"(?i)(?P<keep>\bbearer\s+)[^\s,;]+",
    r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s@/]+(?:@)",
    r#"(?i)(?P<keep>["']?\b(?:api[_-]?key|token|secret|password|passwd|authorization)\b["']?\s*[=:]\s*["']?)(?:[^\s"',;&]+)"#,
    r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
];

static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    PATTERNS
        .iter()
        .map(|pattern| Regex::new(pattern).expect("the patterns are constants that a test compiles"))
        .collect()
});

/// The line without secrets and addresses. Loopback addresses stay: they name nobody.
#[must_use]
pub fn redact(line: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(line);
    for rule in RULES.iter() {
        if rule.is_match(&text) {
            text = Cow::Owned(rule.replace_all(&text, replacement).into_owned());
        }
    }
    text
}

fn replacement(found: &Captures<'_>) -> String {
    let whole = &found[0];
    if whole.starts_with("127.") || whole == "0.0.0.0" {
        return whole.to_owned();
    }
    let kept = found.name("keep").map_or("", |keep| keep.as_str());
    let tail = if whole.ends_with('@') { "@" } else { "" };
    format!("{kept}[redacted]{tail}")
}

/// Standard error, redacted line by line. The subscriber writes each event with one call.
pub(super) struct RedactedStderr;

impl Write for RedactedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn takes_out_what_must_not_be_known() {
        for (given, expected) in [
            ("key cb_1a2b3c4d_ZZZZZZZZZZZZZZZZ used", "key [redacted] used"),
            ("worker cbw_0123456789abcdef0123456789abcdef_a-B_c called", "worker [redacted] called"),
            ("Authorization: Bearer abc.def-123 sent", "Authorization: [redacted] [redacted] sent"),
            ("connect postgres://cb:hunter2@db/x", "connect postgres://cb:[redacted]@db/x"),
            (r#"{"password":"hunter2","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
            ("api_key=12345&x=1", "api_key=[redacted]&x=1"),
            ("peer 192.168.1.3:9595 came", "peer [redacted]:9595 came"),
            ("bound 127.0.0.1:9595", "bound 127.0.0.1:9595"),
            ("version 1.2.3 has 40 tokens left", "version 1.2.3 has 40 tokens left"),
        ] {
            assert_eq!(redact(given), expected);
        }
    }
}
