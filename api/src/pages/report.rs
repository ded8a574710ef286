//! A report as a document of its own.
//!
//! Guarantees that nothing in it runs, and that it loads nothing but our style sheet and icon.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use cyberbrain_core::ids::RunId;

use super::markdown::{self, Headings};
use crate::problem::Problem;

/// Stricter than that of pages: there is no script and no form.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

#[derive(Template)]
#[template(path = "report.html")]
struct Document {
    run: RunId,
    /// Made of Markdown; not escaped again.
    report: String,
}

/// The document of a run's report.
pub(crate) fn document(run: RunId, text: &str) -> Result<Response, Problem> {
    let document = Document { run, report: markdown::render(text, run, Headings::AsTheyAre) };
    let text = document.render().map_err(|error| Problem::internal(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, text).into_response())
}
