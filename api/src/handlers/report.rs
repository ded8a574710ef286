//! `GET /api/v1/runs/{id}/report`: Markdown, JSON or HTML, by `Accept`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use cyberbrain_common::db::runs;
use cyberbrain_core::ids::RunId;

use crate::{
    app::App,
    extract::{Form, Id, accepted_form},
    pages,
    problem::{Kind, Problem},
    views::ReportJson,
};

const MARKDOWN: HeaderValue = HeaderValue::from_static("text/markdown; charset=utf-8");

/// 409 `run-not-finished` while the Run is not finished: the report comes with its end.
pub(crate) async fn report(
    State(app): State<App>,
    Id(id): Id<RunId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let form = accepted_form(&headers, [Form::Markdown, Form::Json, Form::Html])?;
    let mut connection = app.connection().await?;
    let report = runs::report(&mut connection, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    if !report.status.is_terminal() {
        let status = report.status;
        let detail = format!("the run is {status}; its report comes when it has ended");
        return Err(Problem::new(Kind::RunNotFinished, detail).retry_after(5));
    }
    let body = match form {
        Form::Markdown => {
            report.markdown.map(|text| ([(header::CONTENT_TYPE, MARKDOWN)], text).into_response())
        }
        Form::Html => report.markdown.map(|text| pages::report(id, &text)).transpose()?,
        Form::Json | Form::Csv => report.json.map(|value| Json(ReportJson(value)).into_response()),
    };
    let mut response = body.ok_or_else(|| Problem::not_found("report of run", id))?;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
