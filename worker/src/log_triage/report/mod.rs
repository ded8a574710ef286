//! The report: what a person wants to know about the logs, the most important first.

mod findings;
mod tables;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{FindingCause, JobResult, LogTriage, ModelOpinion, ModelUse, Novelty, SeverityCounts},
    staging::{LeftOut, LogReading, LogSource},
};

use super::{
    analysis::Analysis, artifact, compare::Comparison, findings::Found, outline::Outline, tally::Occurrences,
};
use crate::markdown::{code, counted, size, span, time};

/// Everything that the report tells of.
pub struct Told<'a> {
    pub analysis: &'a Analysis,
    pub outline: &'a Outline,
    pub found: &'a [Found],
    pub comparison: &'a Comparison<'a>,
    pub sources: &'a [LogSource],
    pub left_out: &'a LeftOut,
    pub result: &'a JobResult,
    /// What a language model said.
    pub causes: &'a [FindingCause],
}

impl Told<'_> {
    /// Whether there is anything to say about what is new.
    fn is_compared(&self) -> bool {
        self.comparison.previous().is_some()
    }
}

/// Writes the report.
pub fn write(told: &Told<'_>) -> String {
    let JobResult::LogTriage(triage) = told.result else { return String::new() };
    let mut out = String::from("# Log triage\n\n");
    out.push_str(&summary(told, triage));
    if !told.sources.is_empty() {
        out.push_str(&findings::section(told));
        out.push_str(&tables::containers(told));
        out.push_str(&tables::stack_traces(told));
        out.push_str(&tables::messages(told, triage));
    }
    out.push_str(&notes(told, triage));
    out
}

fn summary(told: &Told<'_>, triage: &LogTriage) -> String {
    let mut out = String::new();
    if told.sources.is_empty() {
        out.push_str("**No logs were staged.** No container on the allowlist had any in the window, or the allowlist is empty.\n\n");
        return out;
    }
    let containers = counted(told.sources.len() as u64, "container", "containers");
    let lines = counted(triage.lines, "line", "lines");
    let traces: u64 = told.analysis.sources.iter().map(|tally| tally.stack_traces).sum();
    let _ = writeln!(
        out,
        "**{}** in {lines} ({}) of {containers}: {}, {}.\n",
        counted(told.found.len() as u64, "finding", "findings"),
        size(triage.bytes),
        told_severities(triage.severities),
        counted(traces, "stack trace", "stack traces"),
    );
    if let Some(Occurrences { first: Some(first), last: Some(last), .. }) = seen(told) {
        let _ = writeln!(out, "- Logged: {}", span(first, last));
    }
    if let Some(window) = triage.window {
        let _ = writeln!(out, "- Asked for: {}", span(window.from, window.to));
    }
    match told.comparison.previous() {
        Some(previous) => {
            let new =
                told.outline.templates.iter().filter(|template| template.novelty == Novelty::New).count();
            let _ = writeln!(
                out,
                "- Since the last success ({}, run `{}`): {}",
                time(previous.finished_at),
                previous.run_id,
                counted(new as u64, "new kind of message", "new kinds of message"),
            );
        }
        None => out.push_str("- No earlier successful triage to compare with: nothing is marked as new.\n"),
    }
    out.push('\n');
    out
}

fn seen(told: &Told<'_>) -> Option<Occurrences> {
    told.analysis.sources.iter().map(|tally| tally.seen).reduce(|mut all, one| {
        all.merge(one);
        all
    })
}

fn told_severities(counts: SeverityCounts) -> String {
    [
        counted(counts.fatal, "fatal entry", "fatal entries"),
        counted(counts.error, "error", "errors"),
        counted(counts.warning, "warning", "warnings"),
    ]
    .join(", ")
}

/// Containers that a note is made of, of each kind.
const NOTED: usize = 20;

fn notes(told: &Told<'_>, triage: &LogTriage) -> String {
    let mut notes = Vec::new();
    let dropped: u64 = told.sources.iter().map(|source| source.dropped_bytes).sum();
    if dropped > 0 {
        let lines: u64 = told.sources.iter().map(|source| source.dropped_lines).sum();
        notes.push(format!(
            "{} of logs ({}), the oldest ones, were left out because of the size cap; the counts are lower than the truth.",
            size(dropped),
            counted(lines, "line", "lines"),
        ));
    }
    for (reading, what) in [
        (LogReading::BrokenOff, "could not be read to its end; it is read again the next time"),
        (
            LogReading::Unreadable,
            "could not be read: the engine gives out no log, see the container's log driver",
        ),
    ] {
        for source in told.sources.iter().filter(|source| source.reading == reading).take(NOTED) {
            notes.push(format!("The log of {} {what}.", code(&source.name)));
        }
    }
    if told.left_out.count > 0 {
        let named: Vec<String> = told.left_out.names.iter().map(|name| code(name)).collect();
        let more = told.left_out.count.saturating_sub(named.len() as u64);
        let more =
            if more > 0 { format!(" and {}", counted(more, "other", "others")) } else { String::new() };
        notes.push(format!(
            "{} not read, for want of room or time: {}{more}. They come first the next time.",
            counted(told.left_out.count, "container was", "containers were"),
            named.join(", "),
        ));
    }
    if triage.malformed_lines > 0 {
        notes.push(format!(
            "{} had no readable time and count without one.",
            counted(triage.malformed_lines, "line", "lines")
        ));
    }
    if triage.cut_lines > 0 {
        notes.push(format!(
            "{} too long and only read in part.",
            counted(triage.cut_lines, "line was", "lines were")
        ));
    }
    if told.comparison.is_partial() {
        notes.push(
            "The earlier result could not list all its messages, so that not every new one is marked."
                .to_owned(),
        );
    }
    notes.extend(told_model(&triage.model));
    notes.push("Numbers, addresses, paths and identifiers in messages are replaced by placeholders; examples are shown without credentials, e-mail and IP addresses.".to_owned());
    notes.iter().fold(String::from("## Notes\n\n"), |mut out, note| {
        let _ = writeln!(out, "- {note}");
        out
    })
}

fn told_model(model: &ModelOpinion) -> Option<String> {
    match model.used {
        ModelUse::NotConfigured => None,
        ModelUse::NoNetwork => Some("No language model was asked: the job's network is `none`.".to_owned()),
        ModelUse::Asked => {
            let asked = counted(model.asked, "finding", "findings");
            let answered = model.causes.len();
            let failures: Vec<&str> = model.failures.iter().map(|failure| failure.as_str()).collect();
            let failed = match failures.as_slice() {
                [] => String::new(),
                kinds => format!(
                    " Questions that came to nothing: {}. The findings stand without it.",
                    kinds.join(", ")
                ),
            };
            Some(format!("A language model was asked about {asked} and answered {answered} times.{failed}"))
        }
    }
}

fn when(first: Option<DateTime<Utc>>, last: Option<DateTime<Utc>>) -> String {
    match (first, last) {
        (Some(first), Some(last)) => span(first, last),
        (Some(only), None) | (None, Some(only)) => time(only),
        (None, None) => "–".to_owned(),
    }
}

fn container(told: &Told<'_>, source: usize) -> String {
    code(&told.sources[source].name)
}

const fn novelty(novelty: Novelty) -> &'static str {
    match novelty {
        Novelty::New => "new",
        Novelty::Rising => "rising",
        Novelty::Known => "",
        Novelty::Uncompared => "–",
    }
}
