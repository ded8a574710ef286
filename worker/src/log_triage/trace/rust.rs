//! Rust: `thread 'name' panicked at place:`, the message on the next line, then notes and perhaps a backtrace.

use cyberbrain_core::outcome::TraceLanguage;

use super::{Step, Told};

pub(super) struct Reader {
    place: String,
    part: Part,
    message: Option<String>,
}

enum Part {
    /// The message comes next.
    Message,
    /// Notes and backtrace.
    Rest,
}

pub(super) fn begin(line: &str) -> Option<Reader> {
    let (_, thread) = line.split_once("thread '")?;
    let (_, at) = thread.split_once(" panicked at ")?;
    let at = at.trim_end();
    // Until 2023: `panicked at 'message', src/main.rs:5:10`.
    if let Some((message, place)) = at.strip_prefix('\'').and_then(|rest| rest.rsplit_once("', ")) {
        let message = Some(message.to_owned());
        return Some(Reader { place: file(place), part: Part::Rest, message });
    }
    Some(Reader { place: file(at), part: Part::Message, message: None })
}

impl Reader {
    pub(super) fn push(&mut self, line: &str) -> Step {
        match self.part {
            Part::Message => {
                self.message = Some(line.to_owned());
                self.part = Part::Rest;
                Step::Take
            }
            Part::Rest => {
                let belongs = line.starts_with("note: ")
                    || line.starts_with("stack backtrace:")
                    || line.starts_with("  ") && is_frame(line.trim_start());
                if belongs { Step::Take } else { Step::Over }
            }
        }
    }

    pub(super) fn tell(self) -> Option<Told> {
        let summary = self.message.map(|message| format!("panicked at {}: {message}", self.place));
        Some(Told {
            language: TraceLanguage::Rust,
            exception: "panic".to_owned(),
            frame: self.place,
            summary,
        })
    }
}

/// `12: core::result::unwrap_failed` or `at /rustc/…/result.rs:1`.
fn is_frame(line: &str) -> bool {
    let numbered = line
        .split_once(": ")
        .is_some_and(|(number, _)| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()));
    numbered || line.starts_with("at ")
}

/// `src/main.rs` of `src/main.rs:5:10:`.
fn file(place: &str) -> String {
    place.split(':').next().unwrap_or(place).to_owned()
}
