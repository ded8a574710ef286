//! `GET /api/v1/runs/{id}/artifacts`: what files a Run left, and where they are.

use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use cyberbrain_common::db::{Conn, artifacts, runs};
use cyberbrain_core::ids::RunId;

use super::runs::{link_to_next, next_cursor};
use crate::{
    app::App,
    extract::{Cursor, Id, Query},
    problem::Problem,
    views::ArtifactPage,
};

pub(crate) const MOST_PER_PAGE: i64 = 1_000;
pub(crate) const PER_PAGE: i64 = 100;

pub(crate) async fn list(
    State(app): State<App>,
    Id(id): Id<RunId>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<ArtifactPage>), Problem> {
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let mut connection = app.connection().await?;
    runs::find(&mut connection, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    let page = page(&mut connection, id, cursor, limit).await?;
    let path = format!("/api/v1/runs/{id}/artifacts");
    let headers = link_to_next(&path, raw.as_deref(), page.next_cursor.as_deref());
    Ok((headers, Json(page)))
}

/// One page of a Run's artifacts.
pub(crate) async fn page(
    connection: &mut Conn,
    id: RunId,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<ArtifactPage, Problem> {
    let mut rows = artifacts::of_run(connection, id, cursor.map(|cursor| cursor.0), limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |file| Cursor::new(file.created_at, file.id));
    Ok(ArtifactPage { artifacts: rows.into_iter().map(Into::into).collect(), next_cursor })
}
