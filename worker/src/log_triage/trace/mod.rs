//! Joins the lines of a stack trace into one entry.
//!
//! A [`Joiner`] takes the lines of one stream of one container in order and gives entries: single lines, or
//! whole stack traces of Python, Java, JavaScript, Go and Rust. It holds at most one line and one trace of
//! bounded size.

mod go;
mod java;
mod python;
mod rust;

use chrono::{DateTime, Utc};
use cyberbrain_core::outcome::TraceLanguage;

/// Lines of a trace that are kept for the report.
const KEPT_LINES: usize = 24;
/// Characters of such a line that are kept.
const KEPT_CHARACTERS: usize = 240;
/// A trace with more lines is ended there.
const MAX_TRACE_LINES: usize = 2_000;
/// Longest name of an exception or a frame.
const MAX_NAME_CHARACTERS: usize = 120;

/// One thing that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When its first line was logged; absent if that line had no time.
    pub at: Option<DateTime<Utc>>,
    /// The line; of a stack trace the line that says what went wrong.
    pub text: String,
    pub trace: Option<Trace>,
}

/// A stack trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub language: TraceLanguage,
    /// Type of the exception, or `panic`. Never empty, no blanks.
    pub exception: String,
    /// The innermost frame, as far as one was seen: function, file, or both. No line numbers.
    pub frame: String,
    /// Its first lines.
    pub lines: Vec<String>,
    /// All its lines.
    pub line_count: u64,
}

/// What a language says to one more line.
enum Step {
    /// It belongs to the trace.
    Take,
    /// It does not; the trace is over.
    Over,
}

/// A language's view of a trace that is being read.
enum Reader {
    Python(python::Reader),
    Java(java::Reader),
    Go(go::Reader),
    Rust(rust::Reader),
}

/// A trace that is being read.
struct Open {
    at: Option<DateTime<Utc>>,
    reader: Reader,
    lines: Vec<String>,
    line_count: u64,
}

/// Joins the lines of one stream.
#[derive(Default)]
pub struct Joiner {
    held: Option<(Option<DateTime<Utc>>, String)>,
    open: Option<Open>,
}

impl Joiner {
    /// Takes the next line; gives what is complete now.
    pub fn push(&mut self, at: Option<DateTime<Utc>>, text: &str, mut give: impl FnMut(Entry)) {
        if let Some(open) = &mut self.open {
            match open.push(text) {
                Step::Take => return,
                Step::Over => self.close(&mut give),
            }
        }
        if let Some((reader, head)) = self.begin(text) {
            let (at, first) = match head {
                Head::ThisLine => {
                    self.release(&mut give);
                    (at, text.to_owned())
                }
                Head::LineBefore => self.held.take().unwrap_or_else(|| (at, text.to_owned())),
            };
            let mut open = Open { at, reader, lines: Vec::new(), line_count: 0 };
            open.keep(&first);
            if head == Head::LineBefore && first != text {
                open.keep(text);
            }
            self.open = Some(open);
        } else {
            self.release(&mut give);
            if !text.trim().is_empty() {
                self.held = Some((at, text.to_owned()));
            }
        }
    }

    /// Gives what is still held: there are no more lines.
    pub fn finish(&mut self, mut give: impl FnMut(Entry)) {
        self.close(&mut give);
        self.release(&mut give);
    }

    /// Whether a trace begins with this line.
    fn begin(&self, text: &str) -> Option<(Reader, Head)> {
        if let Some(reader) = python::begin(text) {
            return Some((Reader::Python(reader), Head::ThisLine));
        }
        if let Some(reader) = rust::begin(text) {
            return Some((Reader::Rust(reader), Head::ThisLine));
        }
        if let Some(reader) = go::begin(text) {
            return Some((Reader::Go(reader), Head::ThisLine));
        }
        let before = self.held.as_ref().map(|(_, line)| line.as_str());
        let reader = java::begin(before, text)?;
        Some((Reader::Java(reader), Head::LineBefore))
    }

    fn close(&mut self, give: &mut impl FnMut(Entry)) {
        if let Some(open) = self.open.take() {
            give(open.into_entry());
        }
    }

    fn release(&mut self, give: &mut impl FnMut(Entry)) {
        if let Some((at, text)) = self.held.take() {
            give(Entry { at, text, trace: None });
        }
    }
}

/// Which line a trace begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    ThisLine,
    /// The line before was its head, which shows only now.
    LineBefore,
}

impl Open {
    fn push(&mut self, text: &str) -> Step {
        if self.line_count as usize >= MAX_TRACE_LINES {
            return Step::Over;
        }
        let step = match &mut self.reader {
            Reader::Python(reader) => reader.push(text),
            Reader::Java(reader) => reader.push(text),
            Reader::Go(reader) => reader.push(text),
            Reader::Rust(reader) => reader.push(text),
        };
        if matches!(step, Step::Take) {
            self.keep(text);
        }
        step
    }

    fn keep(&mut self, text: &str) {
        self.line_count += 1;
        if self.lines.len() < KEPT_LINES {
            self.lines.push(clip(text, KEPT_CHARACTERS));
        }
    }

    fn into_entry(self) -> Entry {
        let first = self.lines.first().cloned().unwrap_or_default();
        let told = match self.reader {
            Reader::Python(reader) => reader.tell(),
            Reader::Java(reader) => reader.tell(),
            Reader::Go(reader) => reader.tell(),
            Reader::Rust(reader) => reader.tell(),
        };
        let Some(Told { language, exception, frame, summary }) = told else {
            return Entry { at: self.at, text: first, trace: None };
        };
        let mut lines = self.lines;
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        let trace = Trace {
            language,
            exception: clip(&exception, MAX_NAME_CHARACTERS),
            frame: clip(frame.trim(), MAX_NAME_CHARACTERS),
            lines,
            line_count: self.line_count,
        };
        Entry { at: self.at, text: summary.unwrap_or(first), trace: Some(trace) }
    }
}

/// What a language made of a trace.
struct Told {
    language: TraceLanguage,
    exception: String,
    frame: String,
    /// The line that says what went wrong, if it is not the first one.
    summary: Option<String>,
}

/// The trace in a text of several lines, as JSON logs have it in one of their fields.
pub fn within(text: &str) -> Option<Trace> {
    let mut joiner = Joiner::default();
    let mut found = None;
    for line in text.lines() {
        joiner.push(None, line, |entry| found = found.take().or(entry.trace));
    }
    joiner.finish(|entry| found = found.take().or(entry.trace));
    found
}

/// At most so many characters of a text.
pub fn clip(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The name of an exception type at the beginning of a line: `a.b.SomeError` of `a.b.SomeError: text`.
fn leading_name(line: &str) -> Option<&str> {
    let end =
        line.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '$'))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let begins_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let ends_well = rest.is_empty() || rest.starts_with(':') && !rest.starts_with("::");
    (begins_well && ends_well && !name.ends_with('.')).then_some(name)
}

#[cfg(test)]
#[path = "trace_test.rs"]
mod tests;
