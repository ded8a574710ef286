//! What is true of the planted logs, counted by rules of these tests' own.

use std::collections::BTreeMap;

use super::landscape::{
    FULL_DISKS, GOOD_REQUESTS, Landscape, Line, REFUSED_REQUESTS, RESTARTS, TOO_SLOW, WRONG_PASSWORDS,
};

/// What is in one container's log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    /// With the time and the stream that stand before each line where it is read.
    pub bytes: u64,
    pub by_severity: BTreeMap<&'static str, u64>,
}

/// Counts a container's lines.
pub fn counts(lines: &[Line]) -> Counts {
    let mut counts = Counts::default();
    for line in lines {
        counts.lines += 1;
        // 2026-11-26T19:21:26.967000000Z stderr text\n
        counts.bytes += (30 + 1 + line.stream.len() + 1 + line.text.len() + 1) as u64;
        *counts.by_severity.entry(severity(&line.text)).or_default() += 1;
    }
    counts
}

/// By the formats of the three programs that run there.
fn severity(text: &str) -> &'static str {
    let words: [(&str, &str); 10] = [
        ("] FATAL:  ", "fatal"),
        ("] ERROR:  ", "error"),
        ("] WARNING:  ", "warning"),
        ("] LOG:  ", "info"),
        ("] DETAIL:  ", "info"),
        ("] HINT:  ", "info"),
        ("] STATEMENT:  ", "info"),
        (":error] [pid ", "error"),
        (":notice] [pid ", "info"),
        ("CRITICAL: ", "fatal"),
    ];
    if let Some((_, severity)) = words.iter().find(|(word, _)| text.contains(word)) {
        return severity;
    }
    match text.rsplit_once("\" ").and_then(|(_, rest)| rest.get(..1)) {
        Some("5") => "error",
        Some("4") => "warning",
        Some("2" | "3") => "info",
        Some(_) | None => "unstated",
    }
}

/// A finding: its kind, its container, and how often.
pub type Finding = (String, String, u64);

/// What must be found, in no order.
pub fn findings(planted: &Landscape) -> Vec<Finding> {
    let Landscape { database, web, looping, hungry, .. } = planted;
    let lines_with = |container: &str, words: &str| {
        planted.lines(container).iter().filter(|line| line.text.contains(words)).count() as u64
    };
    // Planted so often, and so often in the log.
    let logged = [
        ("auth_failure", database, "FATAL:  password authentication failed", WRONG_PASSWORDS),
        ("disk_full", database, "No space left on device", FULL_DISKS),
        ("timeout", database, "canceling statement due to statement timeout", TOO_SLOW),
        ("errors", database, "ERROR:  role \"nobody\" does not exist", 1),
        ("server_errors", web, "\"GET /orders HTTP/1.1\" 503 ", REFUSED_REQUESTS),
        ("connection_failure", web, "(111)Connection refused", REFUSED_REQUESTS),
        ("errors", web, "failed to make connection to backend", REFUSED_REQUESTS),
        ("errors", looping, "CRITICAL: setting QUEUE_URL is missing", RESTARTS + 1),
    ];
    let mut all: Vec<Finding> = Vec::new();
    for (kind, container, words, times) in logged {
        assert_eq!(lines_with(container, words), times, "{words} in {container}");
        all.push((kind.to_owned(), container.clone(), times));
    }
    assert_eq!(lines_with(web, "\"GET /good HTTP/1.1\" 404 "), GOOD_REQUESTS);
    // The first question may come before the server is ready.
    let early = lines_with(database, "FATAL:  the database system is starting up");
    if early > 0 {
        all.push(("errors".to_owned(), database.clone(), early));
    }
    // These two the engine tells; no log says a word of them.
    all.push(("crash_loop".to_owned(), looping.clone(), RESTARTS));
    all.push(("out_of_memory".to_owned(), hungry.clone(), 1));
    all.sort();
    all
}
