//! The audit trail as it grows: of everything, of a run, of a run job.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use cyberbrain_common::db::{
    events::{Of, Position},
    run_jobs, runs,
};
use cyberbrain_core::ids::{RunId, RunJobId};

use crate::{
    app::App,
    auth::Caller,
    events::{Start, Stream},
    extract::{Id, last_event},
    problem::Problem,
};

/// `GET /api/v1/events`: without `Last-Event-ID` what comes from now on.
pub(crate) async fn all(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    open(app, caller, &headers, Of::Everything, Start::Now).await
}

/// `GET /api/v1/runs/{id}/events`: without `Last-Event-ID` from the beginning.
pub(crate) async fn of_run(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut connection = app.connection().await?;
    runs::find(&mut connection, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    drop(connection);
    open(app, caller, &headers, Of::Run(id), Start::After(Position::START)).await
}

/// `GET /api/v1/run-jobs/{id}/events`: without `Last-Event-ID` from the beginning.
pub(crate) async fn of_run_job(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunJobId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut connection = app.connection().await?;
    run_jobs::find(&mut connection, id).await?.ok_or_else(|| Problem::not_found("run job", id))?;
    drop(connection);
    open(app, caller, &headers, Of::RunJob(id), Start::After(Position::START)).await
}

async fn open(
    app: App,
    Caller(principal): Caller,
    headers: &HeaderMap,
    of: Of,
    start: Start,
) -> Result<Response, Problem> {
    let start = last_event(headers)?.map_or(start, Start::After);
    let slot = app.slots().listener()?;
    let stream = Stream::begin(app, of, start, principal, slot).await?;
    let mut response = Response::new(stream.into_body());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // For proxies that would gather events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
