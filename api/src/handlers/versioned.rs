//! Answers that carry the version of what they show.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use crate::extract::{Conditions, ETag};

/// The body with its tag.
pub(crate) fn tagged<T: Serialize>(status: StatusCode, tag: ETag, body: &T) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::ETAG, tag.into());
    response
}

/// The same for something new, with where it is from now on.
pub(crate) fn created<T: Serialize>(path: &str, tag: ETag, body: &T) -> Response {
    let mut response = tagged(StatusCode::CREATED, tag, body);
    let location = HeaderValue::try_from(path).expect("our paths are percent-encoded");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The body with its tag, or 304 if the client has it.
pub(crate) fn unless_known<T: Serialize>(conditions: &Conditions, tag: ETag, body: &T) -> Response {
    if !conditions.is_known(tag) {
        return tagged(StatusCode::OK, tag, body);
    }
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    response.headers_mut().insert(header::ETAG, tag.into());
    response
}
