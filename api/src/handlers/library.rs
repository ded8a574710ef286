//! `GET /api/v1/directives` and `GET /api/v1/jobs`.

use axum::{Json, extract::State};
use cyberbrain_common::db::library;

use crate::{
    app::App,
    problem::Problem,
    views::{DirectiveList, JobList},
};

pub(crate) async fn directives(State(app): State<App>) -> Result<Json<DirectiveList>, Problem> {
    let directives = library::directives(&mut *app.connection().await?).await?;
    Ok(Json(DirectiveList { directives: directives.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn jobs(State(app): State<App>) -> Result<Json<JobList>, Problem> {
    let jobs = library::jobs(&mut *app.connection().await?).await?;
    Ok(Json(JobList { jobs: jobs.into_iter().map(Into::into).collect() }))
}
