//! One call on its way to an endpoint, and to the next one where that fails before anything of an answer came.
//!
//! Nothing of the worker's head goes along: no token, no cookie, no address. A worker's request may be sent to more
//! than one endpoint, so an endpoint that failed after it had begun to work may have worked for nothing.

use std::sync::Arc;

use bytes::Bytes;
use cyberbrain_common::{db::llm_calls::CallFailure, metric};
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use metrics::counter;
use tokio::time::timeout;

use super::{
    Shared,
    config::Endpoint,
    connect::failure_of,
    meter::{Metered, OpenCall, Watch},
    refusal::{Reason, Refusal},
    request::{Answer, Call, Route},
    route::{Target, order},
    usage::{JsonWatch, UsageEvents},
};

/// Of an endpoint's head, what a worker gets to see.
const PASSED_ON: [header::HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::RETRY_AFTER];

/// Sends the call to the endpoints that serve its model, one after the other, until one answers.
///
/// # Errors
/// When none did.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    route: Route,
    request: &Call<'_>,
    mut call: OpenCall,
) -> Result<Response<Metered>, Refusal> {
    let targets = order(&shared.endpoints.list, &request.model, |index| shared.health.is_resting(index));
    let mut tried = Vec::new();
    for (position, target) in targets.iter().enumerate() {
        let endpoint = &shared.endpoints.list[target.index];
        call.endpoint = Some(target.index);
        let last = position + 1 == targets.len();
        let failure = match try_one(shared, route, request, *target, &call).await {
            Ok(response) => match failure_of_status(response.status()) {
                Some(failure) if is_elsewhere_better(response.status()) && !last => failure,
                verdict => {
                    shared.health.answered(target.index);
                    return Ok(pass_on(response, request.answer, call, verdict));
                }
            },
            Err(CallFailure::AttemptEnded) => {
                call.end(Some(CallFailure::AttemptEnded));
                return Err(Refusal::new(Reason::AttemptEnded, "the attempt of this token has ended"));
            }
            Err(failure) => failure,
        };
        tracing::warn!(endpoint = endpoint.name, %failure, "an endpoint failed a call");
        shared.health.failed(target.index);
        counter!(
            metric::LLM_FAILURES, "endpoint" => endpoint.name.clone(), "failure" => failure.as_str()
        )
        .increment(1);
        tried.push((endpoint.name.as_str(), failure));
    }
    call.end(tried.last().map(|(_, failure)| *failure));
    let tried: Vec<String> = tried.into_iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
    Err(Refusal::new(
        Reason::NoEndpoint,
        format!(
            "no endpoint of model {} answered ({}); an operator can look at them",
            request.model,
            tried.join(", ")
        ),
    ))
}

async fn try_one(
    shared: &Shared,
    route: Route,
    request: &Call<'_>,
    target: Target<'_>,
    call: &OpenCall,
) -> Result<Response<Incoming>, CallFailure> {
    let endpoint = &shared.endpoints.list[target.index];
    let sent = shared.clients[target.index].request(head(endpoint, route, request, target.model));
    tokio::select! {
        answered = timeout(shared.endpoints.timeouts.answer, sent) => match answered {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure_of(&error)),
            Err(_) => Err(CallFailure::AnswerTimeout),
        },
        () = call.admitted.entry().ended.cancelled() => Err(CallFailure::AttemptEnded),
    }
}

fn head(endpoint: &Endpoint, route: Route, request: &Call<'_>, model: &str) -> Request<Full<Bytes>> {
    let accept = match request.answer {
        Answer::Whole => "application/json",
        Answer::Events(_) => "text/event-stream",
    };
    let mut sent = Request::post(format!("{}{route}", endpoint.base_url))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, concat!("cyberbrain/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(request.body_for(model)))
        .expect("the address was checked with the configuration, and the rest is constant");
    if let Some(key) = &endpoint.authorization {
        sent.headers_mut().insert(header::AUTHORIZATION, key.clone());
    }
    sent
}

/// What an answer's status says of the call.
fn failure_of_status(status: StatusCode) -> Option<CallFailure> {
    match status {
        status if status.is_success() => None,
        StatusCode::TOO_MANY_REQUESTS => Some(CallFailure::RateLimited),
        status if status.is_client_error() => Some(CallFailure::Rejected),
        _ => Some(CallFailure::EndpointError),
    }
}

/// Whether another endpoint may do what this one can't now. A 500 is about the request as often as not.
fn is_elsewhere_better(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn pass_on(
    response: Response<Incoming>,
    answer: Answer,
    mut call: OpenCall,
    verdict: Option<CallFailure>,
) -> Response<Metered> {
    let (head, body) = response.into_parts();
    call.answered(watch_for(head.status, &head.headers, answer));
    let mut passed = Response::new(Metered::new(body, call, verdict));
    *passed.status_mut() = head.status;
    for name in PASSED_ON {
        if let Some(value) = head.headers.get(&name) {
            passed.headers_mut().insert(name, value.clone());
        }
    }
    passed.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    passed
}

/// What comes is looked at as what it says it is, not as what was asked for.
fn watch_for(status: StatusCode, headers: &HeaderMap, answer: Answer) -> Watch {
    if !status.is_success() {
        return Watch::Nothing;
    }
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if encoded {
        return Watch::Opaque;
    }
    let is_events = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
    match (is_events, answer) {
        (true, Answer::Events(usage_events)) => Watch::events(usage_events),
        (true, Answer::Whole) => Watch::events(UsageEvents::Pass),
        (false, _) => Watch::Whole(JsonWatch::default()),
    }
}
