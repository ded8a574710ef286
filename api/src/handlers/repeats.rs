//! Decisions about Runs, and Runs that repeat others: approve, deny, retry, clone, and many at once.

use axum::{
    Json as JsonBody,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cyberbrain_common::{
    approve::{Decided, DecisionRequest, decide},
    bulk::{Action, BulkRequest, bulk},
    db::admission::Approval,
    launch::{Once, Repeat, repeat},
};
use cyberbrain_core::ids::{RunId, RunJobId};

use super::{
    launch::{idempotency_key, launched},
    runs,
};
use crate::{
    app::App,
    auth::Caller,
    extract::{Id, Json},
    problem::Problem,
    views::{BulkView, RunView},
};

async fn decided(
    app: &App,
    caller: &Caller,
    id: RunId,
    approval: Approval,
    request: &DecisionRequest,
) -> Result<(StatusCode, JsonBody<RunView>), Problem> {
    let mut connection = app.connection().await?;
    let status = match decide(&mut connection, id, approval, request, &caller.0.actor()).await? {
        Decided::Now => StatusCode::ACCEPTED,
        Decided::Before => StatusCode::OK,
    };
    Ok((status, JsonBody(runs::read(&mut connection, id).await?)))
}

/// `POST /api/v1/runs/{id}/approve`.
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    Json(request): Json<DecisionRequest>,
) -> Result<(StatusCode, JsonBody<RunView>), Problem> {
    decided(&app, &caller, id, Approval::Approved, &request).await
}

/// `POST /api/v1/runs/{id}/deny`.
pub(crate) async fn deny(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    Json(request): Json<DecisionRequest>,
) -> Result<(StatusCode, JsonBody<RunView>), Problem> {
    decided(&app, &caller, id, Approval::Denied, &request).await
}

async fn repeated(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    what: Repeat,
    route: &str,
) -> Result<Response, Problem> {
    let once = idempotency_key(headers)?.map(|key| Once { route, key });
    let mut connection = app.connection().await?;
    let made = repeat(&mut connection, what, &caller.0.actor(), once.as_ref()).await?;
    launched(&mut connection, made).await
}

/// `POST /api/v1/runs/{id}/retry`.
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    repeated(&app, &caller, &headers, Repeat::Retry(id), "POST /api/v1/runs/{id}/retry").await
}

/// `POST /api/v1/runs/{id}/clone`.
pub(crate) async fn clone(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    repeated(&app, &caller, &headers, Repeat::Clone(id), "POST /api/v1/runs/{id}/clone").await
}

/// `POST /api/v1/run-jobs/{id}/retry`.
pub(crate) async fn retry_run_job(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<RunJobId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    repeated(&app, &caller, &headers, Repeat::RetryOne(id), "POST /api/v1/run-jobs/{id}/retry").await
}

/// `POST /api/v1/bulk/cancel`.
pub(crate) async fn bulk_cancel(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<BulkRequest>,
) -> Result<JsonBody<BulkView>, Problem> {
    let mut connection = app.connection().await?;
    Ok(JsonBody(bulk(&mut connection, Action::Cancel, &request, &caller.actor()).await?.into()))
}

/// `POST /api/v1/bulk/retry`.
pub(crate) async fn bulk_retry(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<BulkRequest>,
) -> Result<JsonBody<BulkView>, Problem> {
    let mut connection = app.connection().await?;
    Ok(JsonBody(bulk(&mut connection, Action::Retry, &request, &caller.actor()).await?.into()))
}
