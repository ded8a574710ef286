//! Java and JavaScript: a head that names the exception, then lines that begin with `at`.

use cyberbrain_core::outcome::TraceLanguage;

use super::{Step, Told};

pub(super) struct Reader {
    language: TraceLanguage,
    exception: String,
    frame: Option<String>,
    summary: Option<String>,
}

/// A trace shows by its first frame; its head is the line before.
pub(super) fn begin(before: Option<&str>, line: &str) -> Option<Reader> {
    let frame = frame(line)?;
    let language = language(line)?;
    let exception = before.and_then(exception).unwrap_or_else(|| "unknown".to_owned());
    Some(Reader { language, exception, frame: Some(frame), summary: None })
}

impl Reader {
    pub(super) fn push(&mut self, line: &str) -> Step {
        let trimmed = line.trim_start();
        if let Some(frame) = frame(line) {
            self.frame.get_or_insert(frame);
            return Step::Take;
        }
        let indented = trimmed.len() < line.len();
        if let Some(cause) = trimmed.strip_prefix("Caused by: ") {
            // The root cause says most; its first frame is the innermost.
            self.exception = exception(cause).unwrap_or_else(|| self.exception.clone());
            self.frame = None;
            self.summary = Some(cause.to_owned());
            return Step::Take;
        }
        let more = trimmed.starts_with("... ") && trimmed.ends_with(" more");
        let belongs =
            indented && (more || trimmed.starts_with("Suppressed: ") || trimmed.starts_with("[CIRCULAR"));
        if belongs { Step::Take } else { Step::Over }
    }

    pub(super) fn tell(self) -> Option<Told> {
        Some(Told {
            language: self.language,
            exception: self.exception,
            frame: self.frame.unwrap_or_default(),
            summary: self.summary,
        })
    }
}

/// `com.shop.Cart.add` of `    at com.shop.Cart.add(Cart.java:12)`.
fn frame(line: &str) -> Option<String> {
    if !line.starts_with([' ', '\t']) {
        return None;
    }
    let frame = line.trim_start().strip_prefix("at ")?;
    let name = frame.split_once('(').map_or(frame, |(name, _)| name).trim();
    // `async fn`, `new Thing`; and a place without a function keeps its file, not its line.
    let name = if name.contains(['/', '\\']) { name.split(':').next().unwrap_or(name) } else { name };
    (!name.is_empty() && frame.contains(['.', '(', ':'])).then(|| name.to_owned())
}

fn language(line: &str) -> Option<TraceLanguage> {
    let java = [".java:", ".kt:", ".scala:", ".groovy:", "(Native Method)", "(Unknown Source)", ".java)"];
    let script =
        [".js:", ".mjs:", ".cjs:", ".ts:", ".tsx:", ".jsx:", "(node:", "at node:", "<anonymous>", "(native)"];
    if java.iter().any(|mark| line.contains(mark)) {
        Some(TraceLanguage::Java)
    } else if script.iter().any(|mark| line.contains(mark)) {
        Some(TraceLanguage::JavaScript)
    } else {
        None
    }
}

/// The exception type that a head names: its first word that ends like one.
fn exception(head: &str) -> Option<String> {
    head.split(|c: char| c.is_whitespace() || matches!(c, ':' | '[' | ']' | '(' | ')' | ',' | '"'))
        .find(|word| {
            ["Exception", "Error", "Throwable", "Failure", "Rejection"].iter().any(|end| word.ends_with(end))
                && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '$'))
        })
        .map(str::to_owned)
}
