//! The queues: what waits in them and why, pause and resume.

use axum::{Json as JsonBody, extract::State};
use cyberbrain_common::{
    db::{self, Conn, pauses, workers},
    pausing::{PauseRequest, PauseVerb, change},
    queue,
};

use crate::{app::App, auth::Caller, extract::Json, problem::Problem, views::QueueView};

async fn read(connection: &mut Conn) -> Result<JsonBody<QueueView>, Problem> {
    let stats = queue::stats(&mut *connection).await.map_err(db::Error::from)?;
    let pauses = pauses::all(connection).await?;
    let waiting = workers::waiting(connection).await?;
    Ok(JsonBody(QueueView::new(&stats, &pauses, waiting)))
}

/// `GET /api/v1/queue`.
pub(crate) async fn show(State(app): State<App>) -> Result<JsonBody<QueueView>, Problem> {
    read(&mut *app.connection().await?).await
}

/// `POST /api/v1/queue/pause`.
pub(crate) async fn pause(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<PauseRequest>,
) -> Result<JsonBody<QueueView>, Problem> {
    let mut connection = app.connection().await?;
    change(&mut connection, PauseVerb::Pause, &request, &caller.actor()).await?;
    read(&mut connection).await
}

/// `POST /api/v1/queue/resume`.
pub(crate) async fn resume(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<PauseRequest>,
) -> Result<JsonBody<QueueView>, Problem> {
    let mut connection = app.connection().await?;
    change(&mut connection, PauseVerb::Resume, &request, &caller.actor()).await?;
    read(&mut connection).await
}
