//! One pass over all logs: what is held while reading, and what came out of it.
//!
//! What is held does not grow with the logs: templates, kinds of stack trace and buckets are capped, and every text
//! that is kept is cut. Per source there is one line, one open stack trace, and counters.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{FindingKind, Severity, SeverityCounts, TraceLanguage},
    staging::{LogStream, MalformedLine, parse_line},
};

use super::{
    drain::{Class, Drain, TemplateNumber},
    kind,
    lines::{RawLine, Whole, to_text},
    mask::Masked,
    reading::{self, Form},
    tally::{Burst, BySource, Occurrences, Rate},
    trace::{Entry, Joiner, Trace, clip},
};

/// Most kinds of stack trace that are told apart.
pub const MAX_TRACES: usize = 500;
/// Characters of an example that are kept.
const EXAMPLE_CHARACTERS: usize = 500;

/// Everything known about the logs so far.
#[derive(Default)]
pub struct Analysis {
    pub drain: Drain,
    /// By number of their template.
    pub templates: Vec<Seen>,
    pub traces: BTreeMap<TraceKey, SeenTrace>,
    /// Stack traces that came when the table of their kinds was full.
    pub untold_traces: u64,
    /// By place in the log index.
    pub sources: Vec<SourceTally>,
    pub untemplated_entries: u64,
    masked: Masked,
}

/// What was made of one entry.
pub struct Classified {
    pub severity: Severity,
    /// Absent if there is no room for its template.
    pub number: Option<TemplateNumber>,
    /// The stack trace that stands within the line.
    pub own_trace: Option<Trace>,
}

/// Where and when a template occurred.
pub struct Seen {
    pub by_source: BySource,
    /// The first line, unmasked: to be redacted before anyone sees it.
    pub example: String,
}

/// What tells kinds of stack trace apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceKey {
    pub language: TraceLanguage,
    pub exception: String,
    pub frame: String,
}

/// Where and when a kind of stack trace occurred.
pub struct SeenTrace {
    pub by_source: BySource,
    /// The first one's lines, unmasked: to be redacted before anyone sees them.
    pub example: Vec<String>,
    pub example_line_count: u64,
}

/// One source's counters.
#[derive(Default)]
pub struct SourceTally {
    pub lines: u64,
    pub bytes: u64,
    pub malformed_lines: u64,
    pub cut_lines: u64,
    pub entries: u64,
    pub severities: SeverityCounts,
    pub stack_traces: u64,
    pub seen: Occurrences,
    pub errors: Rate,
}

impl SourceTally {
    /// When there were many more errors than usual.
    pub fn bursts(&self) -> Vec<Burst> {
        match (self.seen.first, self.seen.last) {
            (Some(first), Some(last)) => self.errors.bursts(first, last),
            _ => Vec::new(),
        }
    }
}

/// Reads the lines of one source into an analysis.
pub struct SourceReader<'a> {
    analysis: &'a mut Analysis,
    source: usize,
    stdout: Joiner,
    stderr: Joiner,
}

impl Analysis {
    /// Begins the next source of the index.
    pub fn begin_source(&mut self) -> SourceReader<'_> {
        let source = self.sources.len();
        self.sources.push(SourceTally::default());
        SourceReader { analysis: self, source, stdout: Joiner::default(), stderr: Joiner::default() }
    }

    /// What an entry is about, and which template it belongs to.
    pub fn classify(&mut self, entry: &Entry) -> Classified {
        let reading = reading::read(&entry.text);
        let own_trace = if entry.trace.is_none() { reading.trace } else { None };
        let (kind, severity) = match entry.trace.as_ref().or(own_trace.as_ref()) {
            Some(trace) => judge_trace(trace, &reading.message, reading.severity),
            None => kind::of(&reading.message, reading.severity, reading.form),
        };
        let is_request = matches!(reading.form, Form::Access { .. }) && reading.message.starts_with("HTTP/");
        if is_request {
            self.masked.set_masked(&reading.message);
        } else {
            self.masked.set(&reading.message);
        }
        let number = self.drain.learn(Class { severity, kind }, &self.masked);
        Classified { severity, number, own_trace }
    }

    /// Joins what only all of the logs show to be one message. To be called once, when all is read.
    pub fn settle(&mut self) {
        let numbers = self.drain.settle();
        let mut settled: Vec<Seen> = Vec::with_capacity(self.drain.templates().len());
        for (seen, number) in std::mem::take(&mut self.templates).into_iter().zip(numbers) {
            match settled.get_mut(number) {
                Some(known) => known.by_source.merge(&seen.by_source),
                None => settled.push(seen),
            }
        }
        self.templates = settled;
    }

    fn take(&mut self, source: usize, entry: Entry) {
        let Classified { severity, number, own_trace } = self.classify(&entry);
        let Entry { at, text, trace } = entry;
        let tally = &mut self.sources[source];
        tally.entries += 1;
        tally.severities.add(severity, 1);
        tally.seen.add(at);
        if let (Severity::Fatal | Severity::Error, Some(at)) = (severity, at) {
            tally.errors.add(at);
        }
        if let Some(trace) = trace.or(own_trace) {
            tally.stack_traces += 1;
            self.take_trace(source, at, trace);
        }
        let Some(number) = number else {
            self.untemplated_entries += 1;
            return;
        };
        if number == self.templates.len() {
            let example = clip(&text, EXAMPLE_CHARACTERS);
            self.templates.push(Seen { by_source: BySource::default(), example });
        }
        self.templates[number].by_source.add(source, at);
    }

    fn take_trace(&mut self, source: usize, at: Option<DateTime<Utc>>, trace: Trace) {
        let Trace { language, exception, frame, lines, line_count } = trace;
        let key = TraceKey { language, exception, frame };
        if self.traces.len() >= MAX_TRACES && !self.traces.contains_key(&key) {
            self.untold_traces += 1;
            return;
        }
        let seen = self.traces.entry(key).or_insert_with(|| SeenTrace {
            by_source: BySource::default(),
            example: lines,
            example_line_count: line_count,
        });
        seen.by_source.add(source, at);
    }
}

impl SourceReader<'_> {
    /// Takes the next line.
    pub fn line(&mut self, line: &RawLine<'_>) {
        let tally = &mut self.analysis.sources[self.source];
        tally.lines += 1;
        tally.bytes += line.length;
        tally.cut_lines += u64::from(line.whole == Whole::Cut);
        let text = to_text(line.bytes);
        let (at, stream, text) = match parse_line(&text) {
            Ok(line) => (Some(line.at), line.stream, line.text),
            Err(MalformedLine::Time | MalformedLine::Stream) => {
                tally.malformed_lines += 1;
                (None, LogStream::Stdout, text.as_str())
            }
        };
        let joiner = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        joiner.push(at, text, |entry| self.analysis.take(self.source, entry));
    }

    /// Ends the source.
    pub fn finish(mut self) {
        self.stdout.finish(|entry| self.analysis.take(self.source, entry));
        self.stderr.finish(|entry| self.analysis.take(self.source, entry));
    }
}

/// What an entry with a stack trace is about: at least an error, and the trace itself if nothing more telling.
fn judge_trace(trace: &Trace, message: &str, stated: Severity) -> (Option<FindingKind>, Severity) {
    let floor = match trace.language {
        TraceLanguage::Go => Severity::Fatal,
        TraceLanguage::Python | TraceLanguage::Java | TraceLanguage::JavaScript | TraceLanguage::Rust => {
            Severity::Error
        }
    };
    match kind::of(message, stated.min(floor), Form::Message) {
        (None | Some(FindingKind::Crash), severity) => (Some(FindingKind::StackTrace), severity),
        (Some(telling), severity) => (Some(telling), severity),
    }
}

#[cfg(test)]
#[path = "analysis_test.rs"]
mod tests;
