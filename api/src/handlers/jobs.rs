//! Job templates: list, show, make, edit, delete.

use axum::{
    Json as JsonBody,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use cyberbrain_common::{
    db::library::{self as stored, JobFilter},
    library::jobs::{self, JobChange, JobDeletion, NewJob},
};

use super::{
    runs::{link_to_next, next_cursor},
    versioned::{created, tagged, unless_known},
};
use crate::{
    app::App,
    auth::Caller,
    extract::{Conditions, Cursor, ETag, Json, Name, Query, encoded},
    problem::Problem,
    views::{JobPage, JobView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/jobs";

/// `GET /api/v1/jobs`: what a launch can name.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<JobPage>), Problem> {
    let filter = JobFilter { active: query.take("active") };
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = stored::jobs(&mut *app.connection().await?, filter, after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.created_at, row.id));
    let headers = link_to_next(PATH, raw.as_deref(), next_cursor.as_deref());
    Ok((headers, JsonBody(JobPage { jobs: rows.into_iter().map(Into::into).collect(), next_cursor })))
}

/// `GET /api/v1/jobs/{name}`.
pub(crate) async fn show(
    State(app): State<App>,
    conditions: Conditions,
    Name(name): Name,
) -> Result<Response, Problem> {
    let found = stored::job(&mut *app.connection().await?, &name).await?;
    let view = JobView::from(found.ok_or_else(|| Problem::not_found("job", format!("{name:?}")))?);
    Ok(unless_known(&conditions, ETag(view.version()), &view))
}

/// `POST /api/v1/jobs`.
pub(crate) async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<NewJob>,
) -> Result<Response, Problem> {
    let made = jobs::create(&mut *app.connection().await?, &request, &caller.actor()).await?;
    let path = format!("{PATH}/{}", encoded(&made.task_key));
    let view = JobView::from(made);
    Ok(created(&path, ETag(view.version()), &view))
}

/// `PATCH /api/v1/jobs/{name}`.
pub(crate) async fn edit(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
    Json(change): Json<JobChange>,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    let mut connection = app.connection().await?;
    let edited = jobs::edit(&mut connection, &name, &expected, &change, &caller.actor()).await?;
    let view = JobView::from(edited);
    Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
}

/// `DELETE /api/v1/jobs/{name}`: 204 when it is gone, 200 when it is only off.
pub(crate) async fn delete(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    let mut connection = app.connection().await?;
    match jobs::delete(&mut connection, &name, &expected, &caller.actor()).await? {
        JobDeletion::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
        JobDeletion::SwitchedOff(job) => {
            let view = JobView::from(*job);
            Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
        }
    }
}
