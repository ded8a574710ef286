//! Severities as loggers write them: words, syslog priorities, klog letters, PostgreSQL's own.

use cyberbrain_core::outcome::Severity;

use super::Form;

/// Words from the beginning in which a level is looked for.
const LOOKED_AT: usize = 10;
/// A level within so many words from the beginning is a prefix, together with what stands before it.
const PREFIX_WORDS: usize = 3;
/// Longest level word.
const MAX_WORD: usize = 12;

/// The severity of a level word in any case; `None` if it is none.
pub fn word(word: &str) -> Option<Severity> {
    if word.len() > MAX_WORD {
        return None;
    }
    let mut lower = [0; MAX_WORD];
    lower[..word.len()].copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    match &lower[..word.len()] {
        b"fatal" | b"critical" | b"crit" | b"panic" | b"alert" | b"emerg" | b"emergency" => {
            Some(Severity::Fatal)
        }
        b"error" | b"err" | b"erro" | b"severe" | b"eror" => Some(Severity::Error),
        b"warning" | b"warn" | b"wrn" => Some(Severity::Warning),
        b"info" | b"notice" | b"information" | b"log" | b"inf" => Some(Severity::Info),
        b"debug" | b"trace" | b"debu" | b"dbg" | b"fine" | b"finer" | b"finest" | b"verbose" | b"debug1"
        | b"debug2" | b"debug3" | b"debug4" | b"debug5" => Some(Severity::Debug),
        _ => None,
    }
}

/// A numeric level: syslog's 0 to 7, or the tens of bunyan and pino.
pub fn numeric(level: u64) -> Option<Severity> {
    match level {
        0..=2 | 60..=100 => Some(Severity::Fatal),
        3 | 50..=59 => Some(Severity::Error),
        4 | 40..=49 => Some(Severity::Warning),
        5 | 6 | 30..=39 => Some(Severity::Info),
        7 | 10..=29 => Some(Severity::Debug),
        _ => None,
    }
}

/// A syslog priority at the beginning, `<34>`, and the line without it.
pub fn priority(line: &str) -> (Option<Severity>, &str) {
    let found = line.strip_prefix('<').and_then(|rest| rest.split_once('>')).and_then(|(number, rest)| {
        let priority: u64 = (number.len() <= 3).then(|| number.parse().ok()).flatten()?;
        Some((numeric(priority % 8)?, rest))
    });
    match found {
        // RFC 5424 has its version after it.
        Some((severity, rest)) => (Some(severity), rest.strip_prefix("1 ").unwrap_or(rest).trim_start()),
        None => (None, line),
    }
}

/// `E0112 06:25:41.123456   17 file.go:12] message` of klog and glog.
pub fn klog(line: &str) -> Option<(Severity, &str)> {
    let severity = match line.as_bytes().first()? {
        b'I' => Severity::Info,
        b'W' => Severity::Warning,
        b'E' => Severity::Error,
        b'F' => Severity::Fatal,
        _ => return None,
    };
    let bytes = line.as_bytes();
    let is_digits =
        |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let has_head =
        is_digits(1, 5) && bytes.get(5) == Some(&b' ') && is_digits(6, 8) && bytes.get(8) == Some(&b':');
    let (head, message) = line.split_once("] ")?;
    (has_head && head.contains(':')).then(|| (severity, message.trim_start()))
}

/// The level that a line states within its first words, whether the line only explains another, and the line
/// without level and what stands before it, as far as these are a mere prefix.
pub fn stated(line: &str) -> (Option<Severity>, Form, &str) {
    let mut rest = line;
    for at in 0..LOOKED_AT {
        let (token, after) = match rest.split_once(char::is_whitespace) {
            Some((token, after)) => (token, after.trim_start()),
            None => (rest, ""),
        };
        let message = if at < PREFIX_WORDS && !after.is_empty() { after } else { line };
        if matches!(token, "DETAIL:" | "HINT:" | "CONTEXT:" | "STATEMENT:" | "QUERY:" | "LOCATION:") {
            return (Some(Severity::Info), Form::Explanation, message);
        }
        if let Some(severity) = token_level(token, at) {
            let is_bare = token.starts_with('[') || word(trimmed(token).trim_end_matches(':')).is_some();
            let message = if token.starts_with('[') { without_process(message) } else { message };
            return (Some(severity), Form::Message, if is_bare { message } else { line });
        }
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    (None, Form::Message, line)
}

/// What follows the process, thread, client and connection that web servers name after the level:
/// `[pid 6:tid 31] [client 10.0.0.1:44416]` of Apache, `31#31: *7` of nginx.
fn without_process(message: &str) -> &str {
    const GROUPS: [&str; 4] = ["[pid ", "[tid ", "[client ", "[remote "];
    let mut rest = message;
    while GROUPS.iter().any(|group| rest.starts_with(group)) {
        match rest.split_once("] ") {
            Some((_, after)) => rest = after.trim_start(),
            None => return rest,
        }
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((process, after)) = rest.split_once(": ") else { return rest };
    if !process.split_once('#').is_some_and(|(pid, tid)| is_number(pid) && is_number(tid)) {
        return rest;
    }
    match after.split_once(' ') {
        Some((connection, after)) if connection.strip_prefix('*').is_some_and(is_number) => after,
        Some(_) | None => after,
    }
}

/// A token without brackets and other marks around it.
fn trimmed(token: &str) -> &str {
    token.trim_matches(['[', ']', '(', ')', '<', '>', '|', '"', '\'', '*', '-', '!', ','])
}

fn token_level(token: &str, at: usize) -> Option<Severity> {
    if let Some((key, value)) = token.split_once('=') {
        let is_level = matches!(key, "level" | "lvl" | "severity" | "loglevel" | "log_level");
        return is_level.then(|| word(value.trim_matches('"'))).flatten();
    }
    let bare = trimmed(token);
    let marked = token.starts_with(['[', '<', '(']) || bare.ends_with(':');
    // `[core:error]` of Apache, `ERROR:module:text` of Python.
    let parts = bare.split(':').take(if token.starts_with('[') { 3 } else { 1 });
    for part in parts {
        let Some(severity) = word(part) else { continue };
        let shouts = part.len() > 2 && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        // npm's way: `npm warn …`.
        let leads = at <= 1 && matches!(severity, Severity::Warning) && part.len() == 4;
        // `log:` and `info:` are words too; only shouted or bracketed they are levels.
        let plain_word = part.eq_ignore_ascii_case("log") && !shouts;
        if (shouts || marked || leads) && !plain_word {
            return Some(severity);
        }
    }
    None
}
