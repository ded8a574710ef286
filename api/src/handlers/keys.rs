//! API keys: list, show, make, revoke.

use axum::{
    Json as JsonBody,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use cyberbrain_common::{
    db::api_keys,
    keys::{self, NewKeyRequest},
};
use cyberbrain_core::ids::ApiKeyId;

use super::runs::{link_to_next, next_cursor};
use crate::{
    app::App,
    auth::Caller,
    extract::{Cursor, Id, Json, Query},
    problem::Problem,
    views::{KeyPage, KeyView, NewKeyView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/keys";

/// `GET /api/v1/keys`.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<KeyPage>), Problem> {
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = api_keys::list(&mut *app.connection().await?, after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.created_at, row.id));
    let headers = link_to_next(PATH, raw.as_deref(), next_cursor.as_deref());
    let keys = rows.into_iter().map(Into::into).collect();
    Ok((headers, JsonBody(KeyPage { keys, next_cursor })))
}

/// `GET /api/v1/keys/{id}`.
pub(crate) async fn show(State(app): State<App>, Id(id): Id<ApiKeyId>) -> Result<JsonBody<KeyView>, Problem> {
    let row = api_keys::by_id(&mut *app.connection().await?, id).await?;
    Ok(JsonBody(row.ok_or_else(|| Problem::not_found("API key", id))?.into()))
}

/// `POST /api/v1/keys`.
pub(crate) async fn make(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<NewKeyRequest>,
) -> Result<(StatusCode, HeaderMap, JsonBody<NewKeyView>), Problem> {
    let mut connection = app.connection().await?;
    let (key, row) = keys::make(&mut connection, &request, &caller.actor()).await?;
    let mut headers = HeaderMap::new();
    let place =
        HeaderValue::try_from(format!("{PATH}/{}", row.id)).expect("a path with a UUID is a header value");
    headers.insert(header::LOCATION, place);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::CREATED, headers, JsonBody(NewKeyView::new(&key, row))))
}

/// `DELETE /api/v1/keys/{id}`.
pub(crate) async fn revoke(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    keys::end(&mut *app.connection().await?, id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
