//! What a run job's worker wrote: as a text, and as it comes in.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use cyberbrain_common::db::{
    Conn, run_jobs,
    worker_logs::{self, LoggedAttempt},
};
use cyberbrain_core::ids::{Fence, RunJobId};

use super::download::removed;
use crate::{
    app::App,
    extract::{Id, Query, last_event, wrong_event},
    files::{Follow, Position, Remote, Segments},
    problem::{Kind, Problem},
};

pub(crate) const MOST_ATTEMPTS: i64 = i32::MAX as i64;
/// More than any worker may write.
pub(crate) const MOST_TAIL_BYTES: i64 = 1 << 40;

/// `GET /api/v1/run-jobs/{id}/logs`.
pub(crate) async fn text(
    State(app): State<App>,
    Id(id): Id<RunJobId>,
    mut query: Query,
) -> Result<Response, Problem> {
    let number = take_attempt(&mut query);
    let tail = query.take_number("tail_bytes", 1, MOST_TAIL_BYTES);
    query.finish()?;
    let slot = app.slots().transfer()?;
    let mut connection = app.connection().await?;
    let (attempt, remote) = find(&mut connection, id, number).await?;
    drop(connection);
    let segments = Segments::look(remote, &attempt, tail.map(i64::unsigned_abs)).await?;
    let length = segments.len();
    let mut response = answer("text/plain; charset=utf-8", segments.into_body(slot));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

/// `GET /api/v1/run-jobs/{id}/logs/stream`.
pub(crate) async fn stream(
    State(app): State<App>,
    Id(id): Id<RunJobId>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let number = take_attempt(&mut query);
    query.finish()?;
    let last: Option<Position> = last_event(&headers)?;
    if let (Some(last), Some(number)) = (last, number)
        && last.attempt != number
    {
        return Err(wrong_event(&format!("it is of attempt {}, not of {number}", last.attempt)));
    }
    let slot = app.slots().follower()?;
    let mut connection = app.connection().await?;
    let (attempt, remote) =
        find(&mut connection, id, number.or_else(|| last.map(|last| last.attempt))).await?;
    drop(connection);
    let start = Position { attempt: attempt.number, fence: Fence(1), offset: 0 };
    let at = last.unwrap_or(start);
    if at.fence > attempt.fence {
        return Err(wrong_event("the attempt has not had that many owners"));
    }
    let follow = Follow::begin(app, attempt, remote, at, slot).await?;
    let mut response = answer("text/event-stream", follow.into_body());
    // For proxies that would gather lines.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn answer(media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn take_attempt(query: &mut Query) -> Option<i32> {
    query.take_number("attempt", 1, MOST_ATTEMPTS).and_then(|number| number.try_into().ok())
}

/// The attempt, and who has its files.
async fn find(
    connection: &mut Conn,
    id: RunJobId,
    number: Option<i32>,
) -> Result<(LoggedAttempt, Remote), Problem> {
    let Some(attempt) = worker_logs::find(connection, id, number).await? else {
        run_jobs::find(connection, id).await?.ok_or_else(|| Problem::not_found("run job", id))?;
        let detail = match number {
            None => format!("run job {id} has not been placed on a host yet; it has no log"),
            Some(number) => format!("run job {id} has no attempt {number}"),
        };
        return Err(Problem::new(Kind::NotFound, detail));
    };
    if let Some((at, cause)) = attempt.removed {
        return Err(Problem::new(Kind::Gone, removed("the log of this attempt", at, cause)));
    }
    let remote = Remote::of_host(connection, attempt.host, attempt.root).await?;
    Ok((attempt, remote))
}
