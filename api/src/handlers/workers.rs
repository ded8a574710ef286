//! Workers that live now, and stopping one.

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use cyberbrain_common::{
    cancel::{WorkerStop, stop_worker},
    db::workers,
};
use cyberbrain_core::ids::AttemptId;

use super::{
    run_jobs,
    runs::{link_to_next, next_cursor},
};
use crate::{
    app::App,
    auth::Caller,
    extract::{Cursor, Id, Query},
    problem::{Kind, Problem},
    views::{RunJobDetail, WorkerPage},
};

pub(crate) const MOST_PER_PAGE: i64 = 1_000;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/workers";

/// `GET /api/v1/workers`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<WorkerPage>), Problem> {
    let host = query.take::<String>("host");
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = workers::list(&mut *app.connection().await?, host.as_deref(), after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.offered_at, row.attempt));
    let headers = link_to_next(PATH, raw.as_deref(), next_cursor.as_deref());
    let workers = rows.into_iter().map(Into::into).collect();
    Ok((headers, Json(WorkerPage { workers, next_cursor })))
}

/// `POST /api/v1/workers/{id}/stop`.
pub(crate) async fn stop(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<AttemptId>,
) -> Result<(StatusCode, Json<RunJobDetail>), Problem> {
    let mut connection = app.connection().await?;
    match stop_worker(&mut connection, id, &caller.actor()).await? {
        WorkerStop::Noted => {}
        WorkerStop::Over(state) => {
            let detail =
                format!("worker {id} is {state}: it holds no place any more, there is nothing to stop");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    let run_job = workers::run_job_of(&mut connection, id).await?;
    let run_job = run_job.ok_or_else(|| Problem::not_found("worker", id))?;
    Ok((StatusCode::ACCEPTED, Json(run_jobs::read(&mut connection, run_job).await?)))
}
