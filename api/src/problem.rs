//! Problems: every answer that is not a success, as RFC 9457 `application/problem+json`.
//!
//! The kinds are a closed list with one status each. A [`Problem`] travels as a response extension and is written out
//! by `layers::envelope`, which knows the request's id. What the client reads never holds the text of an inner error;
//! that is logged once, where the problem is made.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cyberbrain_common::{approve, db, keys, launch, library, machines, pausing, queue};
use serde::Serialize;
use utoipa::ToSchema;

/// The longest sentence of ours about something of the client's.
const MAX_DETAIL_CHARACTERS: usize = 400;

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $slug:literal, $status:ident, $title:literal;)+) => {
        /// What kind of problem; the type URI is `/problems/<slug>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$meta])* $kind),+ }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The last part of the type URI; never changes its meaning.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug),+ }
            }

            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),+ }
            }

            /// The same sentence for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),+ }
            }
        }
    };
}

kinds! {
    MalformedJson = "malformed-json", BAD_REQUEST, "The body is not well-formed JSON";
    InvalidRequest = "invalid-request", UNPROCESSABLE_ENTITY, "The request says something that can't be done";
    InvalidQuery = "invalid-query", BAD_REQUEST, "A query parameter is unknown or can't be read";
    InvalidPath = "invalid-path", BAD_REQUEST, "An id in the path can't be read";
    InvalidHeader = "invalid-header", BAD_REQUEST, "A header can't be read";
    BadRequest = "bad-request", BAD_REQUEST, "The request can't be read";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key is needed";
    Forbidden = "forbidden", FORBIDDEN, "The API key does not allow this";
    NotFound = "not-found", NOT_FOUND, "There is no such thing";
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE, "None of the accepted media types can be made";
    /// A Run's report while the Run is not finished.
    RunNotFinished = "run-not-finished", CONFLICT, "The run is not finished yet";
    /// What there was of it is a row.
    Gone = "gone", GONE, "The file is not there any more";
    Conflict = "conflict", CONFLICT, "The state does not allow this";
    /// The ETag of `If-Match` is not that of the thing as it is now.
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "It was changed meanwhile";
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED, "Say in If-Match which version is to be changed";
    /// A `Last-Event-ID` from before the oldest event that is kept.
    CursorGone = "cursor-gone", GONE, "What followed that event is not kept any more";
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    IdempotencyKeyInUse = "idempotency-key-in-use", CONFLICT,
        "A request with this idempotency key is being worked on";
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY,
        "The idempotency key was used for another request";
    PayloadTooLarge = "payload-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    RangeNotSatisfiable = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "The file has none of the bytes asked for";
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something failed that should not";
    /// The request's outcome may be unknown; the detail says so.
    DatabaseUnavailable = "database-unavailable", SERVICE_UNAVAILABLE, "The database can't be reached";
    Busy = "busy", SERVICE_UNAVAILABLE, "The database is too busy";
    Timeout = "timeout", SERVICE_UNAVAILABLE, "The request took too long";
    HostUnreachable = "host-unreachable", SERVICE_UNAVAILABLE, "The host that has the file does not answer";
    TooManyStreams = "too-many-streams", SERVICE_UNAVAILABLE, "Too many streams or transfers are open";
    StorageFull = "storage-full", INSUFFICIENT_STORAGE, "There is no room for the file";
    NotReady = "not-ready", SERVICE_UNAVAILABLE, "The service is not ready";
}

/// Which part of the request a pointer points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Body,
    Query,
    Path,
    Header,
    /// No part of the request: something that readiness needs.
    Check,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which part of the request `pointer` points into.
    #[serde(rename = "in")]
    pub part: Part,
    /// JSON pointer (RFC 6901): into the body, or `/<name>` of a parameter or header.
    pub pointer: String,
    pub detail: String,
}

impl FieldError {
    #[must_use]
    pub fn new(part: Part, pointer: impl Into<String>, detail: &str) -> Self {
        Self { part, pointer: pointer.into(), detail: shorten(detail) }
    }
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct Problem {
    pub kind: Kind,
    /// What is wrong this time and what to do.
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub retry_after_seconds: Option<u32>,
}

impl Problem {
    #[must_use]
    pub fn new(kind: Kind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: shorten(detail.as_ref()), errors: Vec::new(), retry_after_seconds: None }
    }

    /// With the places that are wrong.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// There is no `what` with this id.
    #[must_use]
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {id}"))
    }

    /// A failure of ours. `error` is logged here, the client reads a fixed sentence.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, cause = cause(error), "a request failed");
        Self::new(Kind::Internal, "it was logged; give the request_id when you report it")
    }
}

/// The innermost error: what the log needs most.
fn cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut inner = error.source()?;
    while let Some(next) = inner.source() {
        inner = next;
    }
    Some(inner.to_string())
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_DETAIL_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_DETAIL_CHARACTERS - 1).chain(['…']).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"cyberbrain\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// SQLSTATEs after which the same request can succeed: serialization, deadlock, lock and statement time-outs, and
/// everything of class 53 (resources).
fn is_busy(sqlstate: &str) -> bool {
    matches!(sqlstate, "40001" | "40P01" | "55P03" | "57014") || sqlstate.starts_with("53")
}

impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        // A push to the queue is a database statement like any other.
        let error = match error {
            db::Error::Queue(queue::Error::Push { source, .. }) => db::Error::from(source),
            other => other,
        };
        if error.sqlstate().as_deref().is_some_and(is_busy) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database is busy");
            return Self::new(Kind::Busy, "nothing was changed; try again").retry_after(1);
        }
        match error {
            db::Error::Unreachable(source) => {
                tracing::warn!(error = &source as &dyn std::error::Error, "the database can't be reached");
                Self::new(
                    Kind::DatabaseUnavailable,
                    "a change may or may not have been made; repeat it with the same Idempotency-Key",
                )
                .retry_after(5)
            }
            db::Error::NotFound { what, id } => Self::not_found(what, id),
            db::Error::Refused(refusal) => Self::new(Kind::Conflict, refusal.to_string()),
            other @ (db::Error::Constraint { .. }
            | db::Error::Malformed { .. }
            | db::Error::Queue(_)
            | db::Error::Migrate(_)
            | db::Error::Sql(_)) => Self::internal(&other),
        }
    }
}

impl From<launch::Error> for Problem {
    fn from(error: launch::Error) -> Self {
        match error {
            launch::Error::Invalid(problems) => invalid(problems),
            launch::Error::KeyReused => {
                let detail = "it was used with another body in the last 24 hours; take a new key";
                Self::new(Kind::IdempotencyKeyReused, detail).errors(vec![idempotency_key(detail)])
            }
            launch::Error::KeyBusy => {
                let detail = "the first request with this key has not been answered yet";
                Self::new(Kind::IdempotencyKeyInUse, detail)
                    .errors(vec![idempotency_key(detail)])
                    .retry_after(1)
            }
            launch::Error::NotEnded { .. } | launch::Error::NothingToRetry => {
                Self::new(Kind::Conflict, error.to_string())
            }
            launch::Error::NotRepeatable(ref reasons) => {
                let errors = reasons.iter().map(|reason| FieldError::new(Part::Path, "/id", reason));
                Self::new(Kind::InvalidRequest, error.to_string()).errors(errors.collect())
            }
            launch::Error::Database(error) => error.into(),
        }
    }
}

impl From<approve::Error> for Problem {
    fn from(error: approve::Error) -> Self {
        match error {
            approve::Error::Invalid(problems) => invalid(problems),
            approve::Error::Contrary { .. } | approve::Error::NotAsked(_) | approve::Error::TooLate(_) => {
                Self::new(Kind::Conflict, error.to_string())
            }
            approve::Error::Database(error) => error.into(),
        }
    }
}

/// A body with these problems.
fn invalid(problems: Vec<launch::Problem>) -> Problem {
    let errors: Vec<FieldError> = problems
        .into_iter()
        .map(|problem| FieldError::new(Part::Body, problem.pointer, &problem.detail))
        .collect();
    let detail = match &errors[..] {
        [only] => only.detail.clone(),
        many => format!("{} things are wrong; nothing was stored", many.len()),
    };
    Problem::new(Kind::InvalidRequest, detail).errors(errors)
}

impl From<library::Error> for Problem {
    fn from(error: library::Error) -> Self {
        match error {
            library::Error::Invalid(problems) => invalid(problems),
            library::Error::Unknown { what, name } => Self::not_found(what, name),
            library::Error::Stale { .. } => {
                let detail = error.to_string();
                let at = FieldError::new(Part::Header, "/If-Match", &detail);
                Self::new(Kind::PreconditionFailed, detail).errors(vec![at])
            }
            library::Error::Conflict(conflict) => Self::new(Kind::Conflict, conflict.to_string()),
            library::Error::Database(error) => error.into(),
        }
    }
}

impl From<machines::Error> for Problem {
    fn from(error: machines::Error) -> Self {
        match error {
            machines::Error::Invalid(problems) => invalid(problems),
            machines::Error::InContact { .. } | machines::Error::Holds { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            machines::Error::Database(error) => error.into(),
        }
    }
}

impl From<pausing::Error> for Problem {
    fn from(error: pausing::Error) -> Self {
        match error {
            pausing::Error::Invalid(problems) => invalid(problems),
            pausing::Error::Database(error) => error.into(),
        }
    }
}

impl From<keys::KeyError> for Problem {
    fn from(error: keys::KeyError) -> Self {
        match error {
            keys::KeyError::Invalid(problems) => invalid(problems),
            keys::KeyError::NameTaken(_) | keys::KeyError::LastAdmin(_) => {
                Self::new(Kind::Conflict, error.to_string())
            }
            keys::KeyError::Database(error) => error.into(),
        }
    }
}

fn idempotency_key(detail: &str) -> FieldError {
    FieldError::new(Part::Header, "/Idempotency-Key", detail)
}

impl From<keys::Denied> for Problem {
    fn from(denied: keys::Denied) -> Self {
        match denied {
            keys::Denied::Database(error) => error.into(),
            keys::Denied::Malformed(_)
            | keys::Denied::Unknown
            | keys::Denied::Expired
            | keys::Denied::Revoked => Self::new(Kind::Unauthorized, denied.to_string()),
        }
    }
}
