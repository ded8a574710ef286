//! Pages: runs and machines to look at, for people with a browser and a key.
//!
//! Server-rendered and read-only; a little script of ours keeps them fresh, and nothing needs it. They are made of the views
//! that REST answers with, so that they show nothing that a viewer may not read there. Templates escape what they are
//! given; reports are made of Markdown without its HTML ([`markdown`]); and the policy lets nothing run or load that is
//! not from here.

mod assets;
mod bar;
mod login;
mod machines;
mod markdown;
mod problem;
mod report;
mod runs;
mod session;
mod words;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

pub(crate) use assets::{icon, script, style_sheet};
pub(crate) use login::{form as login_form, login, logout};
pub(crate) use machines::list as machines;
pub(crate) use problem::in_html;
pub(crate) use report::document as report;
pub(crate) use runs::{list as runs, show as run};
pub use session::PageCookies;
pub(crate) use session::{Session, find as find_session};

use crate::problem::Problem;

/// What a page may load and do.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// A page.
fn html(template: &impl Template) -> Result<Response, Problem> {
    let text = template.render().map_err(|error| Problem::internal(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, text).into_response())
}

/// To another page, by GET.
pub(crate) fn to(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static(path))]).into_response()
}

/// Who looks, and what the form in each page's head needs.
struct Viewer {
    name: String,
    scope: &'static str,
    form_token: String,
}

impl Viewer {
    fn new(session: &Session) -> Self {
        Self {
            name: session.principal.name.clone(),
            scope: session.principal.scope.as_str(),
            form_token: session.token.form_token(),
        }
    }
}
