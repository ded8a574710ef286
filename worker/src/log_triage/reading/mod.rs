//! What one log entry says of itself: how grave it is, and the message without its decoration.
//!
//! Understood are JSON logs, logfmt, syslog priorities, klog and glog, access logs of nginx and Apache and
//! their like, PostgreSQL, and level words as most loggers write them. What is none of these is kept as it is
//! with the severity `unstated`; a severity is never guessed from the stream.

mod access;
mod json;
mod level;
mod time;

pub(super) use time::is_clock;

use std::borrow::Cow;

use cyberbrain_core::outcome::Severity;

use super::trace::Trace;

/// What an entry says.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    pub severity: Severity,
    /// Without time, process id, level and similar prefixes.
    pub message: Cow<'a, str>,
    pub form: Form,
    /// A stack trace inside one line, as JSON logs have them.
    pub trace: Option<Trace>,
}

/// What form an entry has, as far as it matters later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Message,
    /// A line of an access log with this HTTP status.
    Access {
        status: u16,
    },
    /// A line that explains the one before: PostgreSQL's `DETAIL`, `HINT`, `CONTEXT`, `STATEMENT`.
    Explanation,
}

/// Reads one entry.
pub fn read(text: &str) -> Reading<'_> {
    let text = text.trim();
    if text.starts_with('{')
        && let Some(reading) = json::read(text)
    {
        return reading;
    }
    if let Some((status, message)) = access::read(text) {
        let severity = access::severity(status);
        return Reading { severity, message: message.into(), form: Form::Access { status }, trace: None };
    }
    let (priority, text) = level::priority(text);
    if let Some((severity, message)) = level::klog(text) {
        return Reading::message(severity, message);
    }
    let (stated, form, message) = level::stated(time::strip(text));
    Reading { form, ..Reading::message(priority.or(stated).unwrap_or(Severity::Unstated), message) }
}

impl<'a> Reading<'a> {
    fn message(severity: Severity, message: &'a str) -> Self {
        Self { severity, message: message.into(), form: Form::Message, trace: None }
    }
}

#[cfg(test)]
#[path = "reading_test.rs"]
mod tests;
