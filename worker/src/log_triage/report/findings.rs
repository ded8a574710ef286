//! The findings: a table of all, then the first ones in detail.

use std::fmt::Write as _;

use cyberbrain_core::outcome::{FindingKind, MAX_FINDINGS, Novelty};

use super::{Told, artifact, container, novelty, when};
use crate::{
    log_triage::{
        findings::{About, Ending, Found},
        findings_file,
        trace::clip,
    },
    markdown::{block, code, counted, left, number, right, table, time},
    redact::redact,
};

/// Findings that are told in detail.
const DETAILED: usize = 25;
/// Templates shown per finding.
const TEMPLATES_PER_FINDING: usize = 3;
/// Characters of what a finding is about, in the table.
const SUBJECT_CHARACTERS: usize = 70;

pub(super) fn section(told: &Told<'_>) -> String {
    let mut out = String::from("## Findings\n\n");
    if told.found.is_empty() {
        out.push_str("Nothing that needs attention.\n\n");
        return out;
    }
    let shown = &told.found[..told.found.len().min(MAX_FINDINGS)];
    let rows: Vec<Vec<String>> = shown
        .iter()
        .enumerate()
        .map(|(at, found)| {
            let finding = &found.finding;
            let mut row = vec![
                (at + 1).to_string(),
                title(finding.kind).to_owned(),
                container(told, found.source),
                number(finding.count),
                finding.severity.to_string(),
                when(finding.first_seen, finding.last_seen),
                subject(told, found),
            ];
            row.extend(told.is_compared().then(|| novelty(finding.novelty).to_owned()));
            row
        })
        .collect();
    let mut columns = vec![
        right("#"),
        left("Finding"),
        left("Container"),
        right("Entries"),
        left("Severity"),
        left("Seen"),
        left("About"),
    ];
    columns.extend(told.is_compared().then(|| left("New")));
    out.push_str(&table(&columns, &rows));
    let hidden = told.found.len() - shown.len();
    if hidden > 0 {
        let _ =
            writeln!(out, "\n{} more of lower rank, see `{}`.", number(hidden as u64), findings_file::FILE);
    }
    out.push('\n');
    for (at, found) in shown.iter().take(DETAILED).enumerate() {
        out.push_str(&detail(told, at + 1, found));
    }
    out
}

fn detail(told: &Told<'_>, at: usize, found: &Found) -> String {
    let kind = found.finding.kind;
    let mut out = format!("### {at}. {} in {}\n\n", title(kind), container(told, found.source));
    let entries = counted(found.finding.count, "entry", "entries");
    let seen = match (found.finding.first_seen, found.finding.last_seen) {
        (None, None) => String::new(),
        (first, last) => format!(", {}", when(first, last)),
    };
    let new = match found.finding.novelty {
        Novelty::New => ", new since the last success",
        Novelty::Rising => ", far more often than at the last success",
        Novelty::Known | Novelty::Uncompared => "",
    };
    let _ = writeln!(out, "{}\n", format!("{entries}{seen}{new}. {}", advice(kind)).trim_end());
    if let Some(opinion) = told.causes.iter().find(|cause| cause.finding as usize == at) {
        let _ = writeln!(
            out,
            "A language model takes it for **{}** ({} % sure).\n",
            opinion.cause, opinion.confidence_percent
        );
    }
    match &found.about {
        About::Templates(numbers) => {
            for &template in numbers.iter().take(TEMPLATES_PER_FINDING) {
                let seen = &told.analysis.templates[template].by_source;
                let here = seen.of(found.source).map_or(0, |here| here.count);
                let outlined = &told.outline.templates[template];
                let _ = writeln!(
                    out,
                    "{} × {}\n\n{}",
                    number(here),
                    code(&outlined.text),
                    block(&outlined.example)
                );
            }
            let more = numbers.len().saturating_sub(TEMPLATES_PER_FINDING);
            if more > 0 {
                let _ = writeln!(
                    out,
                    "and {}, see `{}`.\n",
                    counted(more as u64, "other message", "other messages"),
                    artifact::FILE
                );
            }
        }
        About::Trace(key) => {
            let trace = &told.analysis.traces[key];
            let hidden = trace.example_line_count.saturating_sub(trace.example.len() as u64);
            let mut lines = trace.example.iter().map(|line| redact(line)).collect::<Vec<_>>().join("\n");
            if hidden > 0 {
                let _ = write!(lines, "\n… {} more", counted(hidden, "line", "lines"));
            }
            let _ = writeln!(out, "{}", block(&lines));
        }
        About::Burst(burst) => {
            let _ = writeln!(
                out,
                "Up to {} in {} seconds; in the rest of this log {:.1} on average.\n",
                counted(burst.peak, "error", "errors"),
                burst.bucket_seconds,
                burst.usual,
            );
        }
        About::Container(ending) => {
            let _ = writeln!(out, "{}.\n", told_ending(*ending));
        }
    }
    out
}

/// What a finding is about, short enough for a table.
fn subject(told: &Told<'_>, found: &Found) -> String {
    match &found.about {
        About::Templates(numbers) => match numbers.first() {
            Some(&most) => code(&clip(&told.outline.templates[most].text, SUBJECT_CHARACTERS)),
            None => String::new(),
        },
        About::Trace(key) => {
            code(&clip(&redact(&format!("{}, {}", key.exception, key.frame)), SUBJECT_CHARACTERS))
        }
        About::Burst(burst) => format!("{} in {} seconds", number(burst.peak), burst.bucket_seconds),
        About::Container(ending) => told_ending(*ending),
    }
}

fn told_ending(ending: Ending) -> String {
    let restarts = match ending.restarts {
        0 => String::new(),
        times => format!("started again {}", counted(u64::from(times), "time", "times")),
    };
    let last = ending.last.map(|exit| {
        let memory = if exit.out_of_memory { ", out of memory" } else { "" };
        format!("last ended {} with exit code {}{memory}", time(exit.at), exit.code)
    });
    [Some(restarts).filter(|told| !told.is_empty()), last]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

const fn title(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::OutOfMemory => "Out of memory",
        FindingKind::DiskFull => "Disk full",
        FindingKind::CrashLoop => "Crash loop",
        FindingKind::Crash => "Crash",
        FindingKind::StackTrace => "Stack trace",
        FindingKind::ErrorBurst => "Burst of errors",
        FindingKind::ServerErrors => "Server errors (HTTP 5xx)",
        FindingKind::AuthFailure => "Refused logins",
        FindingKind::Timeout => "Time-outs",
        FindingKind::ConnectionFailure => "Failed connections",
        FindingKind::Errors => "Error",
        FindingKind::NewMessage => "New message",
        FindingKind::RisingMessage => "Rising message",
    }
}

const fn advice(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::OutOfMemory => {
            "Something was refused memory or killed for it: raise its limit, or find what grows."
        }
        FindingKind::DiskFull => {
            "Writes fail until there is space again: free some, then check what could not be written."
        }
        FindingKind::CrashLoop => {
            "It ends soon after each start: see its last lines and its exit code, then its configuration."
        }
        FindingKind::Crash => "A process ended abnormally; look at what it was doing just before.",
        FindingKind::StackTrace => "An exception was logged; the innermost frame is where to look.",
        FindingKind::ErrorBurst => "Compare with what was deployed, restarted or overloaded at that time.",
        FindingKind::ServerErrors => {
            "Requests failed on the server's side; see which paths, and what was behind them."
        }
        FindingKind::AuthFailure => "Either a credential is out of date, or somebody is guessing.",
        FindingKind::Timeout => "Something answered too late: see whether it was slow, or not there.",
        FindingKind::ConnectionFailure => "The other side was not there, or hung up.",
        FindingKind::Errors => "",
        FindingKind::NewMessage => "No error by what it says of itself.",
        FindingKind::RisingMessage => "No error yet, but it comes more and more often.",
    }
}
