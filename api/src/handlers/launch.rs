//! `POST /api/v1/runs`.

use axum::{
    Json as JsonBody,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use cyberbrain_common::{
    db::Conn,
    launch::{self, IdempotencyKey, LaunchKind, LaunchRequest, Launched, Once},
};

use super::runs;
use crate::{
    app::App,
    auth::Caller,
    extract::Json,
    problem::{FieldError, Kind, Part, Problem},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// What an idempotency key belongs to, together with the caller.
const ROUTE: &str = "POST /api/v1/runs";

/// Launches a Run; 202, because the work is still to be done.
pub(crate) async fn launch(
    State(app): State<App>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Json(request): Json<LaunchRequest>,
) -> Result<Response, Problem> {
    let once = idempotency_key(&headers)?.map(|key| Once { route: ROUTE, key });
    let mut connection = app.connection().await?;
    let made = launch::launch_on(&mut connection, &request, &caller.actor(), once.as_ref()).await?;
    launched(&mut connection, made).await
}

/// 202 with the Run and where it is.
pub(super) async fn launched(connection: &mut Conn, launched: Launched) -> Result<Response, Problem> {
    let body = runs::read(connection, launched.run).await?;
    let mut response = (StatusCode::ACCEPTED, JsonBody(body)).into_response();
    let location = HeaderValue::try_from(format!("/api/v1/runs/{}", launched.run))
        .expect("a path with a UUID is a header value");
    response.headers_mut().insert(header::LOCATION, location);
    if launched.kind == LaunchKind::Replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let wrong = |detail: &str| {
        let at = FieldError::new(Part::Header, "/Idempotency-Key", detail);
        Problem::new(Kind::InvalidHeader, detail).errors(vec![at])
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("the header Idempotency-Key is there twice"));
    }
    let text = value.to_str().map_err(|_| wrong(&launch::InvalidKey.to_string()))?;
    text.parse().map(Some).map_err(|error: launch::InvalidKey| wrong(&error.to_string()))
}
