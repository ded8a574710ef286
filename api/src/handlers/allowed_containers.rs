//! The container allowlist.

use axum::{
    Json as JsonBody,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cyberbrain_common::{
    db::{Conn, allowlist as stored},
    library::containers::{self, AllowedContainerChange, NewAllowedContainer},
};

use super::{
    runs::{cut, link_to_next},
    versioned::{created, tagged, unless_known},
};
use crate::{
    app::App,
    auth::Caller,
    extract::{Conditions, ETag, Json, Name, NameCursor, Query, encoded},
    problem::Problem,
    views::{AllowedContainerPage, AllowedContainerView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/allowlist/containers";

/// One page, by id.
pub(crate) async fn page(
    connection: &mut Conn,
    enabled: Option<bool>,
    cursor: Option<NameCursor>,
    limit: i64,
) -> Result<AllowedContainerPage, Problem> {
    let after = cursor.as_ref().map(|cursor| cursor.0.as_str());
    let mut rows = stored::list(connection, enabled, after, limit + 1).await?;
    let next_cursor = cut(&mut rows, limit).map(|last| NameCursor(last.container_id.clone()).to_string());
    Ok(AllowedContainerPage { containers: rows.into_iter().map(Into::into).collect(), next_cursor })
}

/// `GET /api/v1/allowlist/containers`.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<AllowedContainerPage>), Problem> {
    let enabled = query.take("enabled");
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<NameCursor>("cursor");
    query.finish()?;
    let page = page(&mut *app.connection().await?, enabled, cursor, limit).await?;
    Ok((link_to_next(PATH, raw.as_deref(), page.next_cursor.as_deref()), JsonBody(page)))
}

/// `GET /api/v1/allowlist/containers/{name}`.
pub(crate) async fn show(
    State(app): State<App>,
    conditions: Conditions,
    Name(name): Name,
) -> Result<Response, Problem> {
    let found = stored::find(&mut *app.connection().await?, &name).await?;
    let missing = || Problem::not_found("entry for container", format!("{name:?}"));
    let view = AllowedContainerView::from(found.ok_or_else(missing)?);
    Ok(unless_known(&conditions, ETag(view.version()), &view))
}

/// `POST /api/v1/allowlist/containers`.
pub(crate) async fn add(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<NewAllowedContainer>,
) -> Result<Response, Problem> {
    let added = containers::add(&mut *app.connection().await?, &request, &caller.actor()).await?;
    let path = format!("{PATH}/{}", encoded(&added.container_id));
    let view = AllowedContainerView::from(added);
    Ok(created(&path, ETag(view.version()), &view))
}

/// `PATCH /api/v1/allowlist/containers/{name}`.
pub(crate) async fn edit(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
    Json(change): Json<AllowedContainerChange>,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    let mut connection = app.connection().await?;
    let edited = containers::edit(&mut connection, &name, &expected, &change, &caller.actor()).await?;
    let view = AllowedContainerView::from(edited);
    Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
}

/// `DELETE /api/v1/allowlist/containers/{name}`.
pub(crate) async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    containers::remove(&mut *app.connection().await?, &name, &expected, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
