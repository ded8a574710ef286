//! What an entry is about, judged by the phrases that systems use for it.
//!
//! Grave things (memory, disk, crashes, refused logins) are recognised whatever severity the line states;
//! time-outs and lost connections only in lines that are at least warnings or state nothing, because
//! configuration is full of the same words.

use cyberbrain_core::outcome::{FindingKind, Severity};

use super::reading::Form;

/// Longest word that can be part of a phrase.
const MAX_WORD: usize = 16;

const OUT_OF_MEMORY: &[&str] = &[
    "out of memory",
    "oom-kill",
    "oomkilled",
    "oom killer",
    "cannot allocate memory",
    "memoryerror",
    "outofmemoryerror",
    "memory cgroup out",
    "cuda_error_out_of_memory",
    "allocation failed - javascript heap",
];
const DISK_FULL: &[&str] = &["no space left", "disk full", "enospc", "disk quota exceeded", "disk is full"];
const CRASH: &[&str] = &[
    "segmentation fault",
    "segfault",
    "core dumped",
    "terminated by signal",
    "was killed by signal",
    "exited on signal",
    "panic: ",
    "kernel panic",
    "fatal error: ",
    "sigsegv",
    "sigabrt",
    "assertion failed",
    "double free or corruption",
    "stack smashing detected",
];
const AUTH_FAILURE: &[&str] = &[
    "authentication failed",
    "authentication failure",
    "failed password",
    "password mismatch",
    "invalid credentials",
    "bad credentials",
    "invalid password",
    "login failed",
    "failed login",
    "login incorrect",
    "invalid user",
    "permission denied (publickey",
    "access denied for user",
    "invalid api key",
    "invalid token",
    "token expired",
    "unauthorized",
    "no pg_hba.conf entry",
];
const TIMEOUT: &[&str] =
    &["timed out", "timeout", "time out", "deadline exceeded", "deadline_exceeded", "etimedout"];
const CONNECTION: &[&str] = &[
    "connection refused",
    "econnrefused",
    "connection reset",
    "econnreset",
    "broken pipe",
    "no route to host",
    "connection closed unexpectedly",
    "could not connect",
    "failed to connect",
    "connection terminated unexpectedly",
    "name or service not known",
    "temporary failure in name resolution",
    "network is unreachable",
    "host is unreachable",
];

/// What an entry is about and how grave that makes it; `None` if it is about none of the known things.
pub fn of(message: &str, stated: Severity, form: Form) -> (Option<FindingKind>, Severity) {
    match form {
        Form::Explanation => return (None, stated),
        Form::Access { status } => return (of_status(status), stated),
        Form::Message => {}
    }
    if !is_suspicious(message) {
        return (None, stated);
    }
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    // The gravest things are errors even where the line plays them down. (The graver severity is the lesser.)
    let at_least = |floor: Severity| stated.min(floor);
    let unless_stated = |severity: Severity| if stated == Severity::Unstated { severity } else { stated };
    let worrying =
        matches!(stated, Severity::Fatal | Severity::Error | Severity::Warning | Severity::Unstated);
    if says(OUT_OF_MEMORY) {
        (Some(FindingKind::OutOfMemory), at_least(Severity::Error))
    } else if says(DISK_FULL) {
        (Some(FindingKind::DiskFull), at_least(Severity::Error))
    } else if says(CRASH) {
        (Some(FindingKind::Crash), at_least(Severity::Error))
    } else if says(AUTH_FAILURE) {
        (Some(FindingKind::AuthFailure), unless_stated(Severity::Warning))
    } else if worrying && says(TIMEOUT) {
        (Some(FindingKind::Timeout), unless_stated(Severity::Warning))
    } else if worrying && says(CONNECTION) {
        (Some(FindingKind::ConnectionFailure), unless_stated(Severity::Warning))
    } else {
        (None, stated)
    }
}

fn of_status(status: u16) -> Option<FindingKind> {
    match status {
        500.. => Some(FindingKind::ServerErrors),
        401 => Some(FindingKind::AuthFailure),
        408 => Some(FindingKind::Timeout),
        _ => None,
    }
}

/// Whether a message has a word that some phrase above cannot do without. Nearly all lines have none, and
/// are spared the search.
fn is_suspicious(message: &str) -> bool {
    let mut word = [0; MAX_WORD];
    let mut length = 0;
    for byte in message.bytes().chain([b' ']) {
        if byte.is_ascii_alphabetic() {
            if length < MAX_WORD {
                word[length] = byte.to_ascii_lowercase();
            }
            length += 1;
        } else {
            if is_trigger(&word[..length.min(MAX_WORD)]) {
                return true;
            }
            length = 0;
        }
    }
    false
}

fn is_trigger(word: &[u8]) -> bool {
    matches!(
        word,
        b"memory"
            | b"oom"
            | b"oomkilled"
            | b"memoryerror"
            | b"outofmemoryerror"
            | b"heap"
            | b"space"
            | b"full"
            | b"enospc"
            | b"quota"
            | b"segmentation"
            | b"segfault"
            | b"core"
            | b"signal"
            | b"panic"
            | b"fatal"
            | b"sigsegv"
            | b"sigabrt"
            | b"assertion"
            | b"corruption"
            | b"smashing"
            | b"authentication"
            | b"password"
            | b"credentials"
            | b"login"
            | b"user"
            | b"publickey"
            | b"denied"
            | b"token"
            | b"api"
            | b"unauthorized"
            | b"pg"
            | b"timed"
            | b"timeout"
            | b"time"
            | b"deadline"
            | b"etimedout"
            | b"connection"
            | b"econnrefused"
            | b"econnreset"
            | b"pipe"
            | b"route"
            | b"connect"
            | b"known"
            | b"resolution"
            | b"unreachable"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_has_a_trigger_word() {
        for phrases in [OUT_OF_MEMORY, DISK_FULL, CRASH, AUTH_FAILURE, TIMEOUT, CONNECTION] {
            for phrase in phrases {
                assert!(is_suspicious(phrase), "{phrase:?} would never be found");
                let spelled = format!("x {} y", phrase.to_uppercase());
                assert!(of(&spelled, Severity::Unstated, Form::Message).0.is_some(), "{spelled:?}");
            }
        }
    }

    #[test]
    fn kinds_and_severities() {
        use FindingKind::{AuthFailure, ConnectionFailure, Crash, DiskFull, OutOfMemory, Timeout};
        use Severity::{Error, Fatal, Info, Unstated, Warning};
        let cases = [
            ("Out of memory: Killed process 17 (python3)", Unstated, Some(OutOfMemory), Error),
            ("could not extend file: No space left on device", Error, Some(DiskFull), Error),
            ("could not write: No space left on device", Fatal, Some(DiskFull), Fatal),
            ("server process (PID 7) was terminated by signal 9: Killed", Info, Some(Crash), Error),
            ("password authentication failed for user \"x\"", Fatal, Some(AuthFailure), Fatal),
            ("Failed password for root from 10.0.0.1", Unstated, Some(AuthFailure), Warning),
            ("upstream timed out (110: Connection timed out)", Error, Some(Timeout), Error),
            ("listening with timeout=30s", Info, None, Info),
            ("connect() failed (111: Connection refused)", Error, Some(ConnectionFailure), Error),
            ("Connection reset by peer", Info, None, Info),
            ("user signed in", Info, None, Info),
        ];
        for (message, stated, kind, severity) in cases {
            assert_eq!(of(message, stated, Form::Message), (kind, severity), "for {message:?}");
        }
        assert_eq!(
            of("HTTP/503 GET /", Error, Form::Access { status: 503 }).0,
            Some(FindingKind::ServerErrors)
        );
        assert_eq!(of("SELECT 'no space left'", Info, Form::Explanation), (None, Info));
    }
}
