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
const PATTERNS: [&str; 8] = [
    // Our own keys, and those of common services.
    r"\b(?:cb_[0-9a-z]{8}_|cbw_|sk-|ghp_|hf_)[0-9A-Za-z_-]{8,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    // JSON web tokens.
    r"\beyJ[0-9A-Za-z_-]{5,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*",
    r"(?i)(?P<keep>\bbearer\s+)[^\s,;]+",
    r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s@/]+(?:@)",
    r#"(?i)(?P<keep>["']?\b(?:api[_-]?key|token|secret|password|passwd|authorization)\b["']?\s*[=:]\s*["']?)(?:[^\s"',;&]+)"#,
    r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
    // IPv6: eight groups, or some with a gap.
    r"(?i)\b(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*::[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)\b",
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
    // What has no digit is the path of a module: `db::add`.
    if whole.contains("::") && !whole.contains("://") && !whole.contains(|c: char| c.is_ascii_digit()) {
        return whole.to_owned();
    }
    let kept = found.name("keep").map_or("", |keep| keep.as_str());
    let tail = if whole.ends_with('@') { "@" } else { "" };
    format!("{kept}[redacted]{tail}")
}

/// What becomes of the secrets in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Redacted,
    Shown,
}

/// Standard error, one line for each event: the subscriber writes each with one call. Control characters that come from
/// outside are escaped, so that nobody can forge a line or steer a terminal.
pub(super) struct Lines(pub Secrets);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = escape(&text);
        let line = match self.0 {
            Secrets::Redacted => redact(&line),
            Secrets::Shown => Cow::Borrowed(line.as_ref()),
        };
        io::stderr().write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The line without control characters but the end of it.
fn escape(text: &str) -> Cow<'_, str> {
    let (line, end) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
    if !line.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in line.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped.push_str(end);
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::{escape, redact};

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
            ("peer 2001:db8::ff00:42:8329 came", "peer [redacted] came"),
            ("peer [fe80:0:0:0:202:b3ff:fe1e:8329]:80", "peer [[redacted]]:80"),
            ("cyberbrain_common::db::add at 12:30:45", "cyberbrain_common::db::add at 12:30:45"),
            ("id AKIAIOSFODNN7EXAMPLE used", "id [redacted] used"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end", "jwt [redacted] end"),
            ("version 1.2.3 has 40 tokens left", "version 1.2.3 has 40 tokens left"),
        ] {
            assert_eq!(redact(given), expected);
        }
    }

    #[test]
    fn nobody_can_forge_a_line_or_steer_a_terminal() {
        for (given, expected) in [
            ("plain ü\n", "plain ü\n"),
            ("no end", "no end"),
            ("one\ntwo\n", "one\\ntwo\n"),
            ("\u{1b}[2Jgone\r\n", "\\u{1b}[2Jgone\\r\n"),
            ("c1 \u{9b}31m\n", "c1 \\u{9b}31m\n"),
        ] {
            assert_eq!(escape(given), expected);
        }
    }
}
