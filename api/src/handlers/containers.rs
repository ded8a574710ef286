//! The container inventory: what launchers saw.

use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use cyberbrain_common::db::inventory::{self, InventoryFilter, InventoryScope};

use super::runs::{cut, link_to_next, next_cursor};
use crate::{
    app::App,
    extract::{Cursor, Name, NameCursor, Query, encoded},
    problem::Problem,
    views::ContainerPage,
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/containers";

/// `GET /api/v1/containers`: the newest snapshot of each.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<ContainerPage>), Problem> {
    let scope = query.take("scope").unwrap_or(InventoryScope::All);
    let host = query.take::<String>("host");
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<NameCursor>("cursor");
    query.finish()?;
    let filter = InventoryFilter { scope, host: host.as_deref() };
    let after = cursor.as_ref().map(|cursor| cursor.0.as_str());
    let mut rows = inventory::latest(&mut *app.connection().await?, filter, after, limit + 1).await?;
    let next_cursor = cut(&mut rows, limit).map(|last| NameCursor(last.container.id.clone()).to_string());
    let headers = link_to_next(PATH, raw.as_deref(), next_cursor.as_deref());
    let containers = rows.into_iter().map(Into::into).collect();
    Ok((headers, Json(ContainerPage { containers, next_cursor })))
}

/// `GET /api/v1/containers/{container}/history`: newest first.
pub(crate) async fn history(
    State(app): State<App>,
    Name(container): Name,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<ContainerPage>), Problem> {
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let after = cursor.map(|cursor| cursor.0);
    let mut connection = app.connection().await?;
    let mut rows = inventory::history(&mut connection, &container, after, limit + 1).await?;
    if rows.is_empty() && cursor.is_none() {
        return Err(Problem::not_found("snapshot of container", format!("{container:?}")));
    }
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.taken_at, row.id));
    let path = format!("{PATH}/{}/history", encoded(&container));
    let headers = link_to_next(&path, raw.as_deref(), next_cursor.as_deref());
    let containers = rows.into_iter().map(Into::into).collect();
    Ok((headers, Json(ContainerPage { containers, next_cursor })))
}
