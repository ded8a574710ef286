//! `GET /api/v1/hosts` and `GET /api/v1/gpus`.

use axum::{Json, extract::State};
use cyberbrain_common::db::overview;

use crate::{
    app::App,
    problem::Problem,
    views::{GpuList, HostList},
};

pub(crate) async fn hosts(State(app): State<App>) -> Result<Json<HostList>, Problem> {
    let hosts = overview::hosts(&mut *app.connection().await?).await?;
    Ok(Json(HostList { hosts: hosts.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn gpus(State(app): State<App>) -> Result<Json<GpuList>, Problem> {
    let gpus = overview::gpus(&mut *app.connection().await?).await?;
    Ok(Json(GpuList { gpus: gpus.into_iter().map(Into::into).collect() }))
}
