//! Uploads: take in, list, show, delete.

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use cyberbrain_common::db::{
    self,
    uploads::{self, Deletion, Known, Removed},
};
use cyberbrain_core::{ids::UploadId, retention::Cause};
use sqlx::Connection as _;

use super::runs::{link_to_next, next_cursor};
use crate::{
    app::App,
    auth::Caller,
    extract::{Cursor, FileName, Id, Query},
    files::Described,
    problem::{Kind, Problem},
    views::{UploadPage, UploadView},
};

pub(crate) const MOST_PER_PAGE: i64 = 1_000;
pub(crate) const PER_PAGE: i64 = 100;

const ANY_FILE: &str = "application/octet-stream";

/// `POST /api/v1/uploads`: the body is the file.
pub(crate) async fn store(
    State(app): State<App>,
    Caller(caller): Caller,
    mut query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, HeaderMap, Json<UploadView>), Problem> {
    let name = query.need::<FileName>("name");
    query.finish()?;
    let Some(FileName(name)) = name else {
        return Err(Problem::new(Kind::InvalidQuery, "name must be there"));
    };
    let _slot = app.slots().transfer()?;
    let value = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let announced = value(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let mime_type = value(header::CONTENT_TYPE).filter(|text| is_media_type(text)).unwrap_or(ANY_FILE);
    let described = Described { name, mime_type: mime_type.to_owned(), announced };
    let stored = app.uploads().take_in(&app, described, body, caller.actor()).await?;
    let mut headers = HeaderMap::new();
    let location = HeaderValue::try_from(format!("/api/v1/uploads/{}", stored.id));
    headers.insert(header::LOCATION, location.expect("an id is a header's text"));
    Ok((StatusCode::CREATED, headers, Json(stored.into())))
}

/// Short and of the form `text/csv; charset=utf-8`. It is shown, and nothing is decided by it.
fn is_media_type(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/+-.;= _".contains(c);
    text.len() <= 127 && text.matches('/').count() == 1 && text.chars().all(plain)
}

pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<UploadPage>), Problem> {
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let mut connection = app.connection().await?;
    let mut rows = uploads::list(&mut connection, cursor.map(|cursor| cursor.0), limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.created_at, row.id));
    let headers = link_to_next("/api/v1/uploads", raw.as_deref(), next_cursor.as_deref());
    Ok((headers, Json(UploadPage { uploads: rows.into_iter().map(Into::into).collect(), next_cursor })))
}

pub(crate) async fn show(State(app): State<App>, Id(id): Id<UploadId>) -> Result<Json<UploadView>, Problem> {
    let mut connection = app.connection().await?;
    match uploads::find(&mut connection, id).await? {
        Some(Known::There(upload)) => Ok(Json(upload.into())),
        Some(Known::Removed(removed)) => Err(gone(&removed)),
        None => Err(Problem::not_found("upload", id)),
    }
}

/// What became of it, when and why.
fn gone(removed: &Removed) -> Problem {
    let at = removed.at.format("%Y-%m-%dT%H:%M:%SZ");
    let detail = match removed.cause {
        None => format!("{} deleted it at {at}", removed.by),
        Some(Cause::Age) => {
            format!(
                "retention removed it at {at}: no run was launched with it for longer than uploads are kept"
            )
        }
        Some(Cause::Bytes) => format!(
            "retention removed it at {at}: there was more than is kept, and no run was launched with it for longest"
        ),
    };
    Problem::new(Kind::Gone, detail)
}

/// `DELETE /api/v1/uploads/{id}`: the row first, then the file: what a crash leaves of it, the next look removes.
pub(crate) async fn delete(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<UploadId>,
) -> Result<StatusCode, Problem> {
    let mut connection = app.connection().await?;
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let root = match uploads::delete(&mut tx, id, &caller.actor()).await? {
        Deletion::Deleted { root } => root,
        Deletion::Removed(removed) => return Err(gone(&removed)),
        Deletion::Unknown => return Err(Problem::not_found("upload", id)),
        Deletion::InUse(run_job) => {
            let detail = format!("run job {run_job} reads it and has not ended: cancel it or wait for it");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    };
    tx.commit().await.map_err(db::Error::from)?;
    drop(connection);
    app.uploads().remove(&app, id, root).await;
    Ok(StatusCode::NO_CONTENT)
}
