//! Access logs: any line with `"METHOD target HTTP/version" status`.

use cyberbrain_core::outcome::Severity;

use crate::log_triage::mask;

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// The status, and what was asked for in a form that groups well: `HTTP/502 GET /orders/<n>`.
pub fn read(line: &str) -> Option<(u16, String)> {
    let (_, from_request) = line.split_once('"')?;
    let (method, after) = from_request.split_once(' ')?;
    if !METHODS.contains(&method) {
        return None;
    }
    let (request, rest) = after.split_once('"')?;
    let target = request.rsplit_once(" HTTP/").map(|(target, _)| target)?;
    let status: u16 =
        rest.trim_start().get(..3)?.parse().ok().filter(|status| (100..600).contains(status))?;
    Some((status, message(status, method, target)))
}

/// How grave a status is: the server's faults are errors, the client's are warnings.
pub fn severity(status: u16) -> Severity {
    match status {
        500.. => Severity::Error,
        400..=499 => Severity::Warning,
        _ => Severity::Info,
    }
}

/// One text for all requests that differ in numbers and query only.
pub fn message(status: u16, method: &str, target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let mut out = format!("HTTP/{status} {method} ");
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.push_str(&mask::segment(segment));
    }
    out
}
