//! The worker image allowlist.

use axum::{
    Json as JsonBody,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cyberbrain_common::{
    db::{
        Conn,
        library::{self as stored, ImageKey},
    },
    library::images::{self, NewWorkerImage, WorkerImageChange},
};
use uuid::Uuid;

use super::{
    runs::{link_to_next, next_cursor},
    versioned::{created, tagged, unless_known},
};
use crate::{
    app::App,
    auth::Caller,
    extract::{Conditions, Cursor, ETag, Id, Json, Query},
    problem::Problem,
    views::{WorkerImagePage, WorkerImageView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/allowlist/images";

/// One page, in the order in which they were added.
pub(crate) async fn page(
    connection: &mut Conn,
    active: Option<bool>,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<WorkerImagePage, Problem> {
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = stored::worker_images(connection, active, after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.created_at, row.id));
    Ok(WorkerImagePage { images: rows.into_iter().map(Into::into).collect(), next_cursor })
}

/// `GET /api/v1/allowlist/images`.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<WorkerImagePage>), Problem> {
    let active = query.take("active");
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let page = page(&mut *app.connection().await?, active, cursor, limit).await?;
    Ok((link_to_next(PATH, raw.as_deref(), page.next_cursor.as_deref()), JsonBody(page)))
}

/// `GET /api/v1/allowlist/images/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    conditions: Conditions,
    Id(id): Id<Uuid>,
) -> Result<Response, Problem> {
    let found = stored::worker_image(&mut *app.connection().await?, &ImageKey::Id(id)).await?;
    let view = WorkerImageView::from(found.ok_or_else(|| Problem::not_found("allow-listed image", id))?);
    Ok(unless_known(&conditions, ETag(view.version()), &view))
}

/// `POST /api/v1/allowlist/images`.
pub(crate) async fn add(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<NewWorkerImage>,
) -> Result<Response, Problem> {
    let added = images::add(&mut *app.connection().await?, &request, &caller.actor()).await?;
    let path = format!("{PATH}/{}", added.id);
    let view = WorkerImageView::from(added);
    Ok(created(&path, ETag(view.version()), &view))
}

/// `PATCH /api/v1/allowlist/images/{id}`.
pub(crate) async fn edit(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Id(id): Id<Uuid>,
    Json(change): Json<WorkerImageChange>,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{id}"))?;
    let (key, actor) = (ImageKey::Id(id), caller.actor());
    let edited = images::edit(&mut *app.connection().await?, &key, &expected, &change, &actor).await?;
    let view = WorkerImageView::from(edited);
    Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
}

/// `DELETE /api/v1/allowlist/images/{id}`.
pub(crate) async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Id(id): Id<Uuid>,
) -> Result<StatusCode, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{id}"))?;
    let (key, actor) = (ImageKey::Id(id), caller.actor());
    images::remove(&mut *app.connection().await?, &key, &expected, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
