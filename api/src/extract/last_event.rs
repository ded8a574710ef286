//! `Last-Event-ID`: where a client was when its stream of events broke off.

use std::{fmt::Display, str::FromStr};

use axum::http::HeaderMap;

use crate::problem::{FieldError, Kind, Part, Problem};

/// The place that the header names, if there is one.
///
/// # Errors
/// `invalid-header` for what is no place.
pub(crate) fn last_event<T>(headers: &HeaderMap) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    match value.to_str().unwrap_or("?") {
        // Browsers leave it out, others send it empty.
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|wrong| wrong_event(&format!("{wrong}"))),
    }
}

/// What the header names is no place in this stream.
pub(crate) fn wrong_event(detail: &str) -> Problem {
    let at = FieldError::new(Part::Header, "/Last-Event-ID", detail);
    Problem::new(Kind::InvalidHeader, detail).errors(vec![at])
}
