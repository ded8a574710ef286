//! RunJobs: show with attempts and audit trail, cancel.

use axum::{Json, extract::State, http::StatusCode};
use cyberbrain_common::{
    cancel::{RunJobCancel, cancel_run_job},
    db::{self, Conn, audit_trail, begin_snapshot, run_jobs},
    placing::explain,
};
use cyberbrain_core::ids::RunJobId;

use crate::{
    app::App,
    auth::Caller,
    extract::Id,
    problem::Problem,
    views::{ExplainView, RunJobDetail},
};

/// The most attempts that one answer lists.
const ATTEMPTS: i64 = 100;
/// The most audit rows that one answer lists.
const AUDIT_ROWS: i64 = 1_000;

pub(crate) async fn read(connection: &mut Conn, id: RunJobId) -> Result<RunJobDetail, Problem> {
    let mut snapshot = begin_snapshot(connection).await?;
    let run_job =
        run_jobs::find(&mut snapshot, id).await?.ok_or_else(|| Problem::not_found("run job", id))?;
    let attempts = run_jobs::attempts(&mut snapshot, id, ATTEMPTS).await?;
    let audit = audit_trail::of_run_job(&mut snapshot, id, AUDIT_ROWS).await?;
    snapshot.commit().await.map_err(db::Error::from)?;
    Ok(RunJobDetail::new(run_job, attempts, audit))
}

/// `GET /api/v1/run-jobs/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id<RunJobId>,
) -> Result<Json<RunJobDetail>, Problem> {
    let mut connection = app.connection().await?;
    Ok(Json(read(&mut connection, id).await?))
}

/// Why it is where it is.
pub(crate) async fn explained(connection: &mut Conn, id: RunJobId) -> Result<ExplainView, Problem> {
    let why = explain(connection, id).await?.ok_or_else(|| Problem::not_found("run job", id))?;
    Ok(ExplainView::new(why, read(connection, id).await?))
}

/// `GET /api/v1/run-jobs/{id}/explain`.
pub(crate) async fn why(State(app): State<App>, Id(id): Id<RunJobId>) -> Result<Json<ExplainView>, Problem> {
    Ok(Json(explained(&mut *app.connection().await?, id).await?))
}

/// `POST /api/v1/run-jobs/{id}/cancel`: 202 when it is noted, 200 when it had ended before. Idempotent.
pub(crate) async fn cancel(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<RunJobId>,
) -> Result<(StatusCode, Json<RunJobDetail>), Problem> {
    let mut connection = app.connection().await?;
    let status = match cancel_run_job(&mut connection, id, &caller.actor()).await? {
        RunJobCancel::Noted => StatusCode::ACCEPTED,
        RunJobCancel::AlreadyEnded(_) => StatusCode::OK,
    };
    Ok((status, Json(read(&mut connection, id).await?)))
}
