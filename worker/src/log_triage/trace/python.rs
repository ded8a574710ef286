//! Python: `Traceback (most recent call last):`, indented frames, then `SomeError: text`.

use cyberbrain_core::outcome::TraceLanguage;

use super::{Step, Told, leading_name};

const HEAD: &str = "Traceback (most recent call last):";
const CHAINS: [&str; 2] =
    ["During handling of the above exception", "The above exception was the direct cause"];

pub(super) struct Reader {
    part: Part,
    frame: String,
    exception: Option<(String, String)>,
}

enum Part {
    /// Indented lines, until the exception comes.
    Frames,
    /// The exception was there; a blank line may lead on to the one that it caused.
    After,
    /// The line about the cause was there; the next traceback must follow.
    Chain,
}

pub(super) fn begin(line: &str) -> Option<Reader> {
    line.trim_end().ends_with(HEAD).then(|| Reader {
        part: Part::Frames,
        frame: String::new(),
        exception: None,
    })
}

impl Reader {
    pub(super) fn push(&mut self, line: &str) -> Step {
        match self.part {
            Part::Frames => self.frame_or_exception(line),
            Part::After if line.trim().is_empty() => Step::Take,
            Part::After if CHAINS.iter().any(|chain| line.trim_start().starts_with(chain)) => {
                self.part = Part::Chain;
                Step::Take
            }
            Part::After => Step::Over,
            Part::Chain if line.trim().is_empty() => Step::Take,
            Part::Chain if line.trim_end().ends_with(HEAD) => {
                self.part = Part::Frames;
                Step::Take
            }
            Part::Chain => Step::Over,
        }
    }

    fn frame_or_exception(&mut self, line: &str) -> Step {
        if line.starts_with([' ', '\t']) {
            if let Some(frame) = frame(line) {
                self.frame = frame;
            }
            return Step::Take;
        }
        let Some(name) = leading_name(line) else { return Step::Over };
        self.exception = Some((name.to_owned(), line.to_owned()));
        self.part = Part::After;
        Step::Take
    }

    pub(super) fn tell(self) -> Option<Told> {
        let (exception, summary) = match self.exception {
            Some((name, line)) => (name, Some(line)),
            // The log ended, or was cut, before the exception.
            None => ("unknown".to_owned(), None),
        };
        Some(Told { language: TraceLanguage::Python, exception, frame: self.frame, summary })
    }
}

/// `handler in /app/main.py` of `  File "/app/main.py", line 12, in handler`.
fn frame(line: &str) -> Option<String> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    let function = rest.rsplit_once(", in ").map_or("?", |(_, function)| function);
    Some(format!("{function} in {file}"))
}
