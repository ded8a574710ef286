//! JSON logs: one object per line, with the keys that common loggers use.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use cyberbrain_core::outcome::Severity;
use serde_json::Value;

use super::{Form, Reading, access, level};
use crate::log_triage::trace;

const LEVELS: [&str; 7] = ["level", "severity", "lvl", "levelname", "log.level", "loglevel", "@level"];
const MESSAGES: [&str; 7] = ["msg", "message", "@message", "event", "text", "log", "body"];
const TRACES: [&str; 7] =
    ["exc_info", "exception", "stack", "stacktrace", "stack_trace", "traceback", "error.stack_trace"];
const ERRORS: [&str; 4] = ["error", "err", "error.message", "cause"];
const STATUSES: [&str; 4] = ["status", "status_code", "http_status", "statusCode"];
const PATHS: [&str; 6] = ["path", "request_uri", "uri", "url", "target", "request_path"];
const METHODS: [&str; 3] = ["method", "request_method", "http_method"];
/// Fields that make up a message where there is none.
const MOST_FIELDS: usize = 8;

/// Reads one line; `None` if it is not one JSON object.
pub fn read(line: &str) -> Option<Reading<'static>> {
    let fields: BTreeMap<Cow<'_, str>, Value> = serde_json::from_str(line).ok()?;
    let find = |names: &[&str]| names.iter().find_map(|&name| fields.get(name));
    let text = |names: &[&str]| names.iter().find_map(|&name| fields.get(name).and_then(text_of));

    let stated = find(&LEVELS).and_then(|value| match value {
        Value::String(word) => level::word(word),
        Value::Number(number) => number.as_u64().and_then(level::numeric),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    let status = find(&STATUSES).and_then(status_of);
    let trace =
        TRACES.iter().find_map(|&name| fields.get(name).and_then(Value::as_str).and_then(trace::within));
    let form = status.map_or(Form::Message, |status| Form::Access { status });

    let message = match (text(&MESSAGES), status, text(&METHODS), text(&PATHS)) {
        (_, Some(status), Some(method), Some(path)) => access::message(status, &method, &path),
        (Some(mut message), _, _, _) => {
            if let Some(error) = text(&ERRORS).filter(|error| !message.contains(error.as_str())) {
                let _ = write!(message, ": {error}");
            }
            message
        }
        (None, _, _, _) => scalars(&fields),
    };
    let severity = match (stated, status) {
        (Some(Severity::Info | Severity::Debug) | None, Some(status)) => access::severity(status),
        (Some(stated), _) => stated,
        (None, None) if trace.is_some() => Severity::Error,
        (None, None) => Severity::Unstated,
    };
    let message = message.split(['\n', '\r']).next().unwrap_or_default().to_owned();
    Some(Reading { severity, message: message.into(), form, trace })
}

/// `key=value` of the fields that are neither lists nor objects.
fn scalars(fields: &BTreeMap<Cow<'_, str>, Value>) -> String {
    let mut out = String::new();
    let shown = fields.iter().filter(|(_, value)| !value.is_array() && !value.is_object()).take(MOST_FIELDS);
    for (key, value) in shown {
        let gap = if out.is_empty() { "" } else { " " };
        let _ = match value {
            Value::String(text) => write!(out, "{gap}{key}={text}"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                write!(out, "{gap}{key}={value}")
            }
        };
    }
    out
}

/// A text, or the message inside of an error object.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        Value::Object(inner) => inner.get("message").or_else(|| inner.get("msg")).and_then(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn status_of(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|status| (100..600).contains(status))
}
