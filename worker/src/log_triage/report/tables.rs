//! The tables of containers, stack traces and messages.

use std::{cmp::Reverse, fmt::Write as _};

use cyberbrain_core::outcome::{LogTriage, Severity, TraceLanguage};

use super::{Told, artifact, container, novelty, when};
use crate::{
    log_triage::{result::template_order, trace::clip},
    markdown::{code, counted, left, number, plain, right, size, span, table, time},
    redact::redact,
};

/// Containers that are listed.
const CONTAINERS: usize = 100;
/// Kinds of stack trace that are listed.
const TRACES: usize = 30;
/// Templates that are listed.
const TEMPLATES: usize = 30;
/// Characters of a message in the table of messages.
const MESSAGE_CHARACTERS: usize = 160;

pub(super) fn containers(told: &Told<'_>) -> String {
    let mut order: Vec<usize> = (0..told.sources.len()).collect();
    let tally = |source: usize| &told.analysis.sources[source];
    order.sort_by_key(|&source| {
        let counts = tally(source).severities;
        (Reverse((counts.fatal + counts.error, counts.warning)), source)
    });
    let rows: Vec<Vec<String>> = order
        .iter()
        .take(CONTAINERS)
        .map(|&source| {
            let counts = |severity| number(tally(source).severities.of(severity));
            vec![
                container(told, source),
                plain(&told.sources[source].host),
                code(&told.sources[source].image),
                number(tally(source).lines),
                size(tally(source).bytes),
                counts(Severity::Fatal),
                counts(Severity::Error),
                counts(Severity::Warning),
                counts(Severity::Info),
                counts(Severity::Debug),
                counts(Severity::Unstated),
                number(tally(source).stack_traces),
                match told.sources[source].since {
                    Some(since) => span(since, told.sources[source].until),
                    None => time(told.sources[source].until),
                },
            ]
        })
        .collect();
    let columns = [
        left("Container"),
        left("Host"),
        left("Image"),
        right("Lines"),
        right("Size"),
        right("Fatal"),
        right("Error"),
        right("Warning"),
        right("Info"),
        right("Debug"),
        right("Unstated"),
        right("Stack traces"),
        left("Read"),
    ];
    let mut out = format!("## Containers\n\n{}", table(&columns, &rows));
    if order.len() > CONTAINERS {
        let _ = writeln!(out, "\n{} more with fewer errors.", number((order.len() - CONTAINERS) as u64));
    }
    out.push('\n');
    out
}

pub(super) fn stack_traces(told: &Told<'_>) -> String {
    if told.analysis.traces.is_empty() {
        return String::new();
    }
    let mut traces: Vec<_> = told.analysis.traces.iter().zip(&told.outline.traces).collect();
    traces.sort_by_key(|(_, outlined)| Reverse(outlined.count));
    let rows: Vec<Vec<String>> = traces
        .iter()
        .take(TRACES)
        .map(|((key, seen), outlined)| {
            let total = seen.by_source.total();
            let mut row = vec![
                number(outlined.count),
                language(key.language).to_owned(),
                code(&key.exception),
                code(&redact(&key.frame)),
                when(total.first, total.last),
            ];
            row.extend(told.is_compared().then(|| novelty(outlined.novelty).to_owned()));
            row
        })
        .collect();
    let mut columns =
        vec![right("Count"), left("Language"), left("Exception"), left("Innermost frame"), left("Seen")];
    columns.extend(told.is_compared().then(|| left("New")));
    format!("## Stack traces\n\n{}\n", table(&columns, &rows))
}

pub(super) fn messages(told: &Told<'_>, triage: &LogTriage) -> String {
    let order = template_order(told.analysis, told.outline);
    let rows: Vec<Vec<String>> = order
        .iter()
        .take(TEMPLATES)
        .map(|&at| {
            let outlined = &told.outline.templates[at];
            let sources: Vec<usize> =
                told.analysis.templates[at].by_source.iter().map(|(source, _)| source).collect();
            let place = match sources.as_slice() {
                [only] => container(told, *only),
                several => counted(several.len() as u64, "container", "containers"),
            };
            let mut row = vec![
                number(outlined.count),
                told.analysis.drain.templates()[at].class.severity.to_string(),
                place,
                code(&clip(&outlined.text, MESSAGE_CHARACTERS)),
            ];
            row.extend(told.is_compared().then(|| novelty(outlined.novelty).to_owned()));
            row
        })
        .collect();
    let mut columns = vec![right("Count"), left("Severity"), left("Container"), left("Message")];
    columns.extend(told.is_compared().then(|| left("New")));
    let known = counted(order.len() as u64, "kind of message", "kinds of message");
    let mut out = format!("## Messages\n\n{known}, the gravest and most frequent first.");
    if order.len() > TEMPLATES {
        let _ = write!(out, " The first {TEMPLATES} are here, all of them in `{}`.", artifact::FILE);
    }
    let _ = writeln!(out, "\n\n{}", table(&columns, &rows));
    if triage.untemplated_entries > 0 {
        let entries = counted(triage.untemplated_entries, "entry", "entries");
        let _ = writeln!(out, "{entries} came after the table of messages was full and fit none of it.\n");
    }
    out
}

const fn language(language: TraceLanguage) -> &'static str {
    match language {
        TraceLanguage::Python => "Python",
        TraceLanguage::Java => "Java",
        TraceLanguage::JavaScript => "JavaScript",
        TraceLanguage::Go => "Go",
        TraceLanguage::Rust => "Rust",
    }
}
