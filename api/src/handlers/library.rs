//! `GET /api/v1/jobs`.

use axum::{Json, extract::State};
use cyberbrain_common::db::library;

use crate::{app::App, problem::Problem, views::JobList};

pub(crate) async fn jobs(State(app): State<App>) -> Result<Json<JobList>, Problem> {
    let jobs = library::jobs(&mut *app.connection().await?).await?;
    Ok(Json(JobList { jobs: jobs.into_iter().map(Into::into).collect() }))
}
