//! Problems as pages: browsers don't read `problem+json`.

use askama::Template;
use axum::response::{IntoResponse as _, Response};

use super::html;
use crate::{layers::AsItIs, problem::Problem};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    status: u16,
    title: &'static str,
    detail: &'a str,
}

/// The answer of a route for browsers: a problem becomes a page, the rest stays.
pub(crate) fn in_html(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (status, title) = (problem.kind.status().as_u16(), problem.kind.title());
    match html(&ProblemPage { status, title, detail: &problem.detail }) {
        Ok(page) => with_head_of(&response, page),
        Err(problem) => problem.into_response(),
    }
}

/// The page with the status of a refusal, and what its headers ask for.
pub(super) fn with_head_of(refusal: &Response, mut page: Response) -> Response {
    *page.status_mut() = refusal.status();
    for (name, value) in refusal.headers() {
        page.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    page.extensions_mut().insert(AsItIs);
    page
}
