//! Hosts and GPUs: list, show, cordon, drain, forget, and look through containers.

use axum::{
    Json as JsonBody,
    extract::State,
    http::StatusCode,
    routing::{MethodRouter, post},
};
use cyberbrain_common::{
    db::{Conn, machines::last_cleanup, overview},
    machines::{GpuVerb, HostVerb, change_gpu, change_host, request_cleanup},
    reason::ReasonRequest,
};
use cyberbrain_core::ids::HostId;

use crate::{
    app::App,
    auth::Caller,
    extract::{Id, Json, Name},
    problem::Problem,
    views::{GpuList, GpuView, HostDetail, HostList},
};

/// `GET /api/v1/hosts`.
pub(crate) async fn hosts(State(app): State<App>) -> Result<JsonBody<HostList>, Problem> {
    let hosts = overview::hosts(&mut *app.connection().await?, None).await?;
    Ok(JsonBody(HostList { hosts: hosts.into_iter().map(Into::into).collect() }))
}

/// `GET /api/v1/gpus`.
pub(crate) async fn gpus(State(app): State<App>) -> Result<JsonBody<GpuList>, Problem> {
    let gpus = overview::gpus(&mut *app.connection().await?, None).await?;
    Ok(JsonBody(GpuList { gpus: gpus.into_iter().map(Into::into).collect() }))
}

async fn read_host(connection: &mut Conn, id: HostId) -> Result<JsonBody<HostDetail>, Problem> {
    let host = overview::hosts(connection, Some(id)).await?.pop();
    let host = host.ok_or_else(|| Problem::not_found("host", id))?;
    let cleanup = last_cleanup(connection, id).await?;
    Ok(JsonBody(HostDetail::new(host, cleanup)))
}

/// `GET /api/v1/hosts/{id}`.
pub(crate) async fn host(
    State(app): State<App>,
    Id(id): Id<HostId>,
) -> Result<JsonBody<HostDetail>, Problem> {
    read_host(&mut *app.connection().await?, id).await
}

/// `POST /api/v1/hosts/{id}/cordon`, `uncordon` and `drain`: the host as it is then.
pub(crate) fn change_host_by(verb: HostVerb) -> MethodRouter<App> {
    post(
        async move |State(app): State<App>,
                    Caller(caller): Caller,
                    Id(id): Id<HostId>,
                    Json(request): Json<ReasonRequest>| {
            let mut connection = app.connection().await?;
            change_host(&mut connection, id, verb, &request, &caller.actor()).await?;
            read_host(&mut connection, id).await
        },
    )
}

/// `POST /api/v1/hosts/{id}/forget`.
pub(crate) async fn forget(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<HostId>,
    Json(request): Json<ReasonRequest>,
) -> Result<StatusCode, Problem> {
    let mut connection = app.connection().await?;
    change_host(&mut connection, id, HostVerb::Forget, &request, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/hosts/{id}/cleanup-orphans`.
pub(crate) async fn cleanup(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<HostId>,
) -> Result<(StatusCode, JsonBody<HostDetail>), Problem> {
    let mut connection = app.connection().await?;
    request_cleanup(&mut connection, id, &caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, read_host(&mut connection, id).await?))
}

async fn read_gpu(connection: &mut Conn, uuid: &str) -> Result<JsonBody<GpuView>, Problem> {
    let gpu = overview::gpus(connection, Some(uuid)).await?.pop();
    let gpu = gpu.ok_or_else(|| Problem::not_found("GPU", format!("{uuid:?}")))?;
    Ok(JsonBody(gpu.into()))
}

/// `GET /api/v1/gpus/{name}`.
pub(crate) async fn gpu(State(app): State<App>, Name(uuid): Name) -> Result<JsonBody<GpuView>, Problem> {
    read_gpu(&mut *app.connection().await?, &uuid).await
}

/// `POST /api/v1/gpus/{name}/cordon` and `uncordon`: the GPU as it is then.
pub(crate) fn change_gpu_by(verb: GpuVerb) -> MethodRouter<App> {
    post(
        async move |State(app): State<App>,
                    Caller(caller): Caller,
                    Name(uuid): Name,
                    Json(request): Json<ReasonRequest>| {
            let mut connection = app.connection().await?;
            change_gpu(&mut connection, &uuid, verb, &request, &caller.actor()).await?;
            read_gpu(&mut connection, &uuid).await
        },
    )
}
