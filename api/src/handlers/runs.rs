//! Runs: list, show, cancel.

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use cyberbrain_common::{
    cancel::{RunCancel, cancel_run},
    db::{self, Conn, begin_snapshot, run_jobs, runs},
};
use cyberbrain_core::ids::RunId;

use crate::{
    app::App,
    auth::Caller,
    extract::{Cursor, Id, Query, SinceCursor, Time},
    problem::Problem,
    views::{RunPage, RunView},
};

pub(crate) const MOST_PER_PAGE: i64 = 500;
pub(crate) const PER_PAGE: i64 = 50;

/// A Run with its RunJobs, both as of one instant.
pub(crate) async fn read(connection: &mut Conn, id: RunId) -> Result<RunView, Problem> {
    let mut snapshot = begin_snapshot(connection).await?;
    let run = runs::find(&mut snapshot, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    let run_jobs = run_jobs::of_run(&mut snapshot, id).await?;
    snapshot.commit().await.map_err(db::Error::from)?;
    Ok(RunView::new(run, run_jobs))
}

/// `GET /api/v1/runs/{id}`.
pub(crate) async fn show(State(app): State<App>, Id(id): Id<RunId>) -> Result<Json<RunView>, Problem> {
    let mut connection = app.connection().await?;
    Ok(Json(read(&mut connection, id).await?))
}

/// `GET /api/v1/runs`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<RunPage>), Problem> {
    let mut filter = runs::Filter {
        status: query.take("status").into_iter().collect(),
        job: query.take("job"),
        directive: query.take("directive"),
        tag: query.take("tag"),
        requested_by: query.take("requested_by"),
        created_after: query.take::<Time>("created_after").map(|time| time.0),
        created_before: query.take::<Time>("created_before").map(|time| time.0),
        ..runs::Filter::default()
    };
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let begin = if query.take("since_last_success") == Some(true) {
        Begin::LastSuccess(query.take("cursor"))
    } else {
        Begin::First(query.take("cursor"))
    };
    query.finish()?;
    let mut connection = app.connection().await?;
    let page = page(&mut connection, &mut filter, begin, limit).await?;
    Ok((link_to_next("/api/v1/runs", raw.as_deref(), page.next_cursor.as_deref()), Json(page)))
}

/// Where a list begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    /// With the first Run of all, or after the page before.
    First(Option<Cursor>),
    /// After the last success, or that of the page before.
    LastSuccess(Option<SinceCursor>),
}

/// One page of Runs.
pub(crate) async fn page(
    connection: &mut Conn,
    filter: &mut runs::Filter,
    begin: Begin,
    limit: i64,
) -> Result<RunPage, Problem> {
    let after = match begin {
        Begin::First(cursor) => cursor,
        Begin::LastSuccess(Some(SinceCursor { after, since })) => {
            filter.since = since;
            Some(after)
        }
        Begin::LastSuccess(None) => {
            filter.since = runs::last_success(connection, filter.job.as_deref()).await?;
            None
        }
    };
    // One more than asked for tells whether there is another page.
    let mut rows = runs::list(connection, filter, after.map(|after| after.0), limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |run| Cursor::new(run.created_at, run.id));
    let next_cursor = match begin {
        Begin::First(_) => next_cursor,
        Begin::LastSuccess(_) => {
            next_cursor.map(|after| format!("{after}{}", SinceCursor::suffix(filter.since)))
        }
    };
    Ok(RunPage {
        since: filter.since.map(Into::into),
        runs: rows.into_iter().map(Into::into).collect(),
        next_cursor,
    })
}

/// Cuts the rows to the page; the cursor of its last row if there were more.
pub(crate) fn next_cursor<T>(rows: &mut Vec<T>, limit: i64, cursor: impl Fn(&T) -> Cursor) -> Option<String> {
    cut(rows, limit).map(|last| cursor(last).to_string())
}

/// Cuts the rows to the page; its last row if there were more.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: i64) -> Option<&T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    rows.last()
}

/// `Link: <…>; rel="next"` with the same filters.
pub(crate) fn link_to_next(path: &str, raw_query: Option<&str>, cursor: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(cursor) = cursor else { return headers };
    let others = raw_query.unwrap_or_default().split('&');
    let cursor = format!("cursor={cursor}");
    let kept = others.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query = kept.chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    if let Ok(link) = HeaderValue::try_from(format!("<{path}?{query}>; rel=\"next\"")) {
        headers.insert(header::LINK, link);
    }
    headers
}

/// `POST /api/v1/runs/{id}/cancel`: 202 when it is noted, 200 when the Run had ended before. Idempotent.
pub(crate) async fn cancel(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id<RunId>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let mut connection = app.connection().await?;
    let status = match cancel_run(&mut connection, id, &caller.actor()).await? {
        RunCancel::Noted => StatusCode::ACCEPTED,
        RunCancel::AlreadyEnded(_) => StatusCode::OK,
    };
    Ok((status, Json(read(&mut connection, id).await?)))
}
