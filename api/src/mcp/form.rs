//! Whether an answer is one JSON document or a stream of events.
//!
//! A call that tells its progress while it waits answers as events; everything else as JSON, which is cheaper for both
//! sides and passes every proxy.

use axum::{body::Body, extract::Request, http::Method};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde::Deserialize;

use crate::problem::{Kind, Problem};

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Events,
}

/// As much of a message as the decision needs.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    method: String,
    #[serde(default)]
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    arguments: Option<Arguments>,
}

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    wait_seconds: Option<f64>,
}

/// Reads the request's body and decides; the request comes back whole.
pub(super) async fn form_of(request: Request, limit: usize) -> Result<(Form, Request<Full<Bytes>>), Problem> {
    let (parts, body) = request.into_parts();
    let bytes = match parts.method {
        Method::POST => read(body, limit).await?,
        _ => Bytes::new(),
    };
    let form = decide(&bytes);
    Ok((form, Request::from_parts(parts, Full::new(bytes))))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::PayloadTooLarge, format!("a message has {limit} bytes at most")))
        }
        Err(_) => Err(Problem::new(Kind::BadRequest, "the body ended before it was complete")),
    }
}

/// What can't be read is left to the transport to refuse.
fn decide(bytes: &[u8]) -> Form {
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return Form::Json };
    let arguments = message.params.and_then(|params| params.arguments);
    let waits = arguments.and_then(|arguments| arguments.wait_seconds).is_some_and(|seconds| seconds > 0.0);
    if message.method == "tools/call" && waits { Form::Events } else { Form::Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_wait_answer_as_events() {
        let call =
            |arguments: &str| format!(r#"{{"method":"tools/call","params":{{"arguments":{arguments}}}}}"#);
        for (message, expected) in [
            (call(r#"{"wait_seconds":5}"#), Form::Events),
            (call(r#"{"wait_seconds":0}"#), Form::Json),
            (call("{}"), Form::Json),
            (r#"{"method":"tools/list"}"#.to_owned(), Form::Json),
            (call(r#"{"wait_seconds":"x"}"#), Form::Json),
            ("no json".to_owned(), Form::Json),
        ] {
            assert_eq!(decide(message.as_bytes()), expected, "{message}");
        }
    }
}
