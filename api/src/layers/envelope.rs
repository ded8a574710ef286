//! The envelope of every answer: a request id, a time limit, security headers, and problems written out as JSON.
//!
//! Guarantees that every answer with an error status is `application/problem+json`, also those that axum makes by
//! itself, those of handlers that panicked, and those that took too long.

use std::{any::Any, time::Duration};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    problem::{FieldError, Kind, Problem},
    routes::{self, Route},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Answers carry data of the installation: never cached, never framed, never run as anything.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// A problem on the wire (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `/problems/<slug>`, relative to the service.
    r#type: String,
    /// The same for every problem of the type.
    title: &'static str,
    status: u16,
    /// What is wrong this time and what to do.
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// Also in the header `X-Request-Id` and in the log.
    request_id: String,
}

/// Marks a response whose body is to be left alone: its protocol has a form of its own for what goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsItIs;

/// The outermost of our own layers.
pub(crate) async fn envelope(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let found = route.as_deref().and_then(|path| routes::find(request.method(), path));
    let hurried = found.is_none_or(Route::is_hurried);
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = route.as_deref().unwrap_or("unmatched"),
    );
    async {
        let response = if hurried {
            let answered = tokio::time::timeout(limit, next.run(request)).await;
            answered.unwrap_or_else(|_| too_slow(limit).into_response())
        } else {
            next.run(request).await
        };
        let mut response = write_out(response, &id);
        let headers = response.headers_mut();
        for (name, value) in SECURITY {
            // A page may bring a policy of its own.
            headers.entry(name).or_insert(value);
        }
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        tracing::debug!(http.status = response.status().as_u16(), "request answered");
        response
    }
    .instrument(span)
    .await
}

/// The caller's id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(text) if (1..=64).contains(&text.len()) && text.bytes().all(plain) => text.to_owned(),
        Some(_) | None => Uuid::now_v7().to_string(),
    }
}

fn too_slow(limit: Duration) -> Problem {
    tracing::warn!(limit_seconds = limit.as_secs(), "a request took too long");
    let detail = "a change may or may not have been made; repeat it with the same Idempotency-Key";
    Problem::new(Kind::Timeout, detail).retry_after(5)
}

/// What a panic in a handler answers.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer calls")]
pub(crate) fn on_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = message, "a handler panicked");
    Problem::new(Kind::Internal, "it was logged; give the request_id when you report it").into_response()
}

fn write_out(mut response: Response, id: &str) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if response.extensions_mut().remove::<AsItIs>().is_some() => return response,
        None if response.status().is_client_error() || response.status().is_server_error() => {
            from_status(response.status())
        }
        None => return response,
    };
    let body = ProblemBody {
        r#type: format!("/problems/{}", problem.kind.slug()),
        title: problem.kind.title(),
        status: problem.kind.status().as_u16(),
        detail: problem.detail,
        errors: problem.errors,
        request_id: id.to_owned(),
    };
    let json = serde_json::to_vec(&body).expect("a problem serializes: it has text keys only");
    let (mut parts, _) = response.into_parts();
    parts.status = problem.kind.status();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    Response::from_parts(parts, Body::from(json))
}

/// For answers that axum makes by itself.
fn from_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => {
            Problem::new(Kind::NotFound, "no route has this path; GET /api/docs lists them")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Kind::MethodNotAllowed, "the header Allow lists the methods of this path")
        }
        status if status.is_client_error() => {
            Problem::new(Kind::BadRequest, "the request can't be read; GET /api/docs has examples")
        }
        _ => Problem::new(Kind::Internal, "give the request_id when you report it"),
    }
}
