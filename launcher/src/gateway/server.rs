//! What workers connect to: who asks, what for, and whether they may.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use cyberbrain_common::{metric, worker_token};
use cyberbrain_core::ids::AttemptId;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
};
use metrics::counter;
use serde::Serialize;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Shared,
    forward::forward,
    meter::{Metered, OpenCall},
    refusal::{Reason, Refusal},
    request::{Call, Route},
};

/// Largest request that is taken; images are in it as text.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// How long a request's body may take to come in.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// The longest token and its word are shorter.
const MAX_AUTHORIZATION_BYTES: usize = 256;
pub(super) const KIB: usize = 1024;

type Body = Either<Metered, Full<Bytes>>;

/// Answers one request. Never fails: what goes wrong is an answer too.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(serve(&shared, request).await.unwrap_or_else(|refusal| {
        counter!(metric::LLM_REFUSALS, "reason" => refusal.reason.as_str()).increment(1);
        tracing::debug!(reason = %refusal.reason, "the gateway refused a call");
        refuse(&refusal)
    }))
}

async fn serve(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let attempt = who(&shared.secret, request.headers())?;
    let route = Route::of(request.method(), request.uri().path())?;
    if route == Route::Models {
        shared.attempts.find(attempt).await?;
        return Ok(models(shared));
    }
    let admitted = shared.attempts.admit(attempt).await?;
    let held = hold(shared, request.into_body()).await?;
    let call = Call::parse(&held.bytes)?;
    if shared.endpoints.first_for(&call.model).is_none() {
        let known: Vec<&str> = shared.endpoints.model_names().into_iter().collect();
        return Err(Refusal::new(
            Reason::UnknownModel,
            format!("there is no model of this name here; there are {}", known.join(", ")),
        ));
    }
    let open = OpenCall::begin(Arc::clone(shared), admitted, call.model.clone(), call.prompt_characters);
    Ok(Box::pin(forward(shared, route, &call, open)).await?.map(Either::Left))
}

/// Whose token it is.
fn who(secret: &[u8], headers: &HeaderMap) -> Result<AttemptId, Refusal> {
    let bad = || {
        Refusal::new(
            Reason::InvalidToken,
            "send the token of the environment variable OPENAI_API_KEY as Authorization: Bearer; it is good for the worker that got it, while its attempt is open",
        )
    };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(bad)?;
    if value.len() > MAX_AUTHORIZATION_BYTES {
        return Err(bad());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(bad)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(bad());
    }
    worker_token::check(secret, token.trim()).map_err(|_| bad())
}

/// A request's body, and its share of the memory for them.
struct Held {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

async fn hold(shared: &Shared, body: Incoming) -> Result<Held, Refusal> {
    match timeout(BODY_LIMIT, read(shared, body)).await {
        Ok(read) => read,
        Err(_) => {
            let limit = BODY_LIMIT.as_secs();
            Err(Refusal::new(
                Reason::TooSlow,
                format!("the request's body did not come within {limit} seconds"),
            ))
        }
    }
}

async fn read(shared: &Shared, mut body: Incoming) -> Result<Held, Refusal> {
    let too_large = || {
        let limit = MAX_REQUEST_BYTES / KIB / KIB;
        Refusal::new(Reason::TooLarge, format!("a request may have {limit} MiB"))
    };
    if body.size_hint().lower() > MAX_REQUEST_BYTES as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut share: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Refusal::new(Reason::InvalidRequest, "the request's body broke off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > MAX_REQUEST_BYTES {
            return Err(too_large());
        }
        let held = bytes.len().div_ceil(KIB);
        bytes.extend_from_slice(&piece);
        let more = u32::try_from(bytes.len().div_ceil(KIB) - held).unwrap_or(u32::MAX);
        let permit = Arc::clone(&shared.request_memory)
            .try_acquire_many_owned(more)
            .map_err(|_| Refusal::new(Reason::Busy, "too many large requests are held already; try again"))?;
        match &mut share {
            Some(share) => share.merge(permit),
            None => share = Some(permit),
        }
    }
    Ok(Held { bytes: bytes.freeze(), _share: share })
}

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u32,
    owned_by: &'static str,
}

/// The names of the configuration; no endpoint is asked.
fn models(shared: &Shared) -> Response<Body> {
    let endpoints = &shared.endpoints;
    let entry = |id| {
        let owned_by = endpoints.first_for(id).map_or("", |endpoint| endpoint.kind.as_str());
        Model { id, object: "model", created: 0, owned_by }
    };
    let list = ModelList { object: "list", data: endpoints.model_names().into_iter().map(entry).collect() };
    json(StatusCode::OK, serde_json::to_vec(&list).expect("a list of names serializes"))
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.status(), refusal.body());
    let headers = response.headers_mut();
    if refusal.worth_repeating() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    match refusal.status() {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What is left of the body is not read.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
