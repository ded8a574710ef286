//! Directives: list, show, make, edit, switch off.

use axum::{
    Json as JsonBody,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cyberbrain_common::{
    db::{
        Conn,
        library::{self as stored, Directive, DirectiveFilter, DirectiveName},
    },
    library::directives::{self, DirectiveChange, NewDirective},
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
    views::{DirectivePage, DirectiveView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 100;
const PATH: &str = "/api/v1/directives";

/// Of a name, or of a type for the built-in one.
pub(crate) async fn read(connection: &mut Conn, name: &str) -> Result<Directive, Problem> {
    let found = stored::directive(connection, &DirectiveName::of(name)).await?;
    found.ok_or_else(|| Problem::not_found("directive", format!("{name:?}")))
}

/// One page of current versions.
pub(crate) async fn page(
    connection: &mut Conn,
    filter: DirectiveFilter,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<DirectivePage, Problem> {
    let mut rows = stored::directives(connection, filter, cursor.map(|cursor| cursor.0), limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor(row.place));
    let directives = rows.into_iter().map(|row| row.directive.into()).collect();
    Ok(DirectivePage { directives, next_cursor })
}

/// `GET /api/v1/directives`.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<DirectivePage>), Problem> {
    let filter = DirectiveFilter { active: query.take("active"), kind: query.take("type") };
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let page = page(&mut *app.connection().await?, filter, cursor, limit).await?;
    Ok((link_to_next(PATH, raw.as_deref(), page.next_cursor.as_deref()), JsonBody(page)))
}

/// `GET /api/v1/directives/{name}`.
pub(crate) async fn show(
    State(app): State<App>,
    conditions: Conditions,
    Name(name): Name,
) -> Result<Response, Problem> {
    let view = DirectiveView::from(read(&mut *app.connection().await?, &name).await?);
    Ok(unless_known(&conditions, ETag(view.version()), &view))
}

/// `GET /api/v1/directives/{name}/versions`: newest first.
pub(crate) async fn versions(
    State(app): State<App>,
    Name(name): Name,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, JsonBody<DirectivePage>), Problem> {
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let mut connection = app.connection().await?;
    let name = read(&mut connection, &name).await?.snapshot.name;
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = stored::directive_versions(&mut connection, &name, after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.created_at, row.snapshot.id));
    let path = format!("{PATH}/{}/versions", encoded(&name));
    let headers = link_to_next(&path, raw.as_deref(), next_cursor.as_deref());
    let directives = rows.into_iter().map(Into::into).collect();
    Ok((headers, JsonBody(DirectivePage { directives, next_cursor })))
}

/// `POST /api/v1/directives`.
pub(crate) async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<NewDirective>,
) -> Result<Response, Problem> {
    let made = directives::create(&mut *app.connection().await?, &request, &caller.actor()).await?;
    let path = format!("{PATH}/{}", encoded(&made.snapshot.name));
    let view = DirectiveView::from(made);
    Ok(created(&path, ETag(view.version()), &view))
}

/// `PATCH /api/v1/directives/{name}`.
pub(crate) async fn edit(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
    Json(change): Json<DirectiveChange>,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    let (name, actor) = (DirectiveName::of(&name), caller.actor());
    let edited = directives::edit(&mut *app.connection().await?, &name, &expected, &change, &actor).await?;
    let view = DirectiveView::from(edited);
    Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
}

/// `DELETE /api/v1/directives/{name}`: what is left is shown.
pub(crate) async fn deactivate(
    State(app): State<App>,
    Caller(caller): Caller,
    conditions: Conditions,
    Name(name): Name,
) -> Result<Response, Problem> {
    let expected = conditions.expected(&format!("{PATH}/{}", encoded(&name)))?;
    let (name, actor) = (DirectiveName::of(&name), caller.actor());
    let off = directives::deactivate(&mut *app.connection().await?, &name, &expected, &actor).await?;
    let view = DirectiveView::from(off);
    Ok(tagged(StatusCode::OK, ETag(view.version()), &view))
}
