//! Go: `panic: …` or `fatal error: …`, then `goroutine N [state]:` with functions and indented places.

use cyberbrain_core::outcome::TraceLanguage;

use super::{Step, Told};

pub(super) struct Reader {
    exception: &'static str,
    seen: Seen,
    frame: Option<String>,
}

/// What was seen besides the first line.
#[derive(PartialEq, Eq)]
enum Seen {
    Head,
    Goroutine,
}

pub(super) fn begin(line: &str) -> Option<Reader> {
    let (exception, seen) = if line.starts_with("panic: ") {
        ("panic", Seen::Head)
    } else if line.starts_with("fatal error: ") {
        ("fatal_error", Seen::Head)
    } else if is_goroutine(line) {
        ("goroutine", Seen::Goroutine)
    } else {
        return None;
    };
    Some(Reader { exception, seen, frame: None })
}

impl Reader {
    pub(super) fn push(&mut self, line: &str) -> Step {
        if is_goroutine(line) {
            self.seen = Seen::Goroutine;
            return Step::Take;
        }
        let between = line.is_empty() || line.starts_with("[signal ") || line.starts_with("\tpanic: ");
        let belongs = between || self.seen == Seen::Goroutine && (self.is_frame(line) || is_tail(line));
        if belongs { Step::Take } else { Step::Over }
    }

    fn is_frame(&mut self, line: &str) -> bool {
        if line.starts_with('\t') || line.starts_with("created by ") {
            return true;
        }
        let Some((name, arguments)) = line.rsplit_once('(') else { return false };
        let is_frame = arguments.ends_with(')') && !name.contains(' ') && name.contains('.')
            || name == "panic" && arguments.ends_with(')');
        // The runtime's own frames are how it panicked, not where.
        if is_frame && name != "panic" && !name.starts_with("runtime.") {
            self.frame.get_or_insert_with(|| name.to_owned());
        }
        is_frame
    }

    /// Nothing, if no goroutine followed: then it was only a line that said `panic`.
    pub(super) fn tell(self) -> Option<Told> {
        (self.seen == Seen::Goroutine).then(|| Told {
            language: TraceLanguage::Go,
            exception: self.exception.to_owned(),
            frame: self.frame.unwrap_or_default(),
            summary: None,
        })
    }
}

fn is_goroutine(line: &str) -> bool {
    line.strip_prefix("goroutine ").is_some_and(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with(" [") && rest.trim_end().ends_with("]:")
    })
}

fn is_tail(line: &str) -> bool {
    line.starts_with("exit status ") || line.starts_with("...additional frames elided")
}
