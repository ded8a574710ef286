//! A worker's request: what is read of it and what is changed in it, and nothing else.
//!
//! Read: the model's name, whether the answer is to be streamed, and how many characters the prompt has. Changed: the
//! model's name to what the endpoint calls it, and `stream_options.include_usage` to true. All else goes on as it came.

use std::collections::BTreeMap;

use bytes::Bytes;
use cyberbrain_core::text_enum;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    refusal::{Reason, Refusal},
    usage::{JsonWatch, UsageEvents},
};

text_enum! {
    /// What can be asked of the gateway, by its path below `/v1`.
    Route("route of the gateway") {
        Chat = "/chat/completions",
        Completions = "/completions",
        Embeddings = "/embeddings",
        Models = "/models",
    }
}

impl Route {
    /// # Errors
    /// When there is no such route, or it has another method.
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, Refusal> {
        let known = path.strip_prefix("/v1").and_then(|path| path.parse::<Self>().ok());
        let Some(route) = known else {
            return Err(Refusal::new(
                Reason::NotFound,
                "the gateway has /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models",
            ));
        };
        let expected = if route == Self::Models { Method::GET } else { Method::POST };
        if *method == expected {
            Ok(route)
        } else {
            Err(Refusal::new(Reason::MethodNotAllowed, format!("this route takes {expected} only")))
        }
    }
}

/// How the answer will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Whole,
    Events(UsageEvents),
}

/// A request that can be sent on.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub model: String,
    pub answer: Answer,
    pub prompt_characters: u64,
    fields: BTreeMap<String, &'a RawValue>,
    stream_options: Option<Box<RawValue>>,
}

impl<'a> Call<'a> {
    /// # Errors
    /// When the body is no JSON object, or does not name a model.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::new(Reason::InvalidRequest, message);
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(|_| invalid("the body must be one JSON object"))?;
        let model: String = field(&fields, "model")
            .map_err(|()| invalid("model must be a text"))?
            .ok_or_else(|| invalid("the body names no model; GET /v1/models lists those that there are"))?;
        let stream = field(&fields, "stream").map_err(|()| invalid("stream must be true or false"))?;
        let (answer, stream_options) = if stream.unwrap_or(false) {
            let (answer, options) = ask_for_usage(&fields)
                .map_err(|()| invalid("stream_options must be an object with include_usage true or false"))?;
            (answer, Some(options))
        } else {
            (Answer::Whole, None)
        };
        let mut watch = JsonWatch::default();
        watch.feed(body);
        Ok(Self { model, answer, prompt_characters: watch.characters(), fields, stream_options })
    }

    /// The body for an endpoint that calls the model so.
    pub(super) fn body_for(&self, model: &str) -> Bytes {
        let model = to_raw_value(model).expect("a text serializes");
        let mut fields = self.fields.clone();
        fields.insert("model".to_owned(), &model);
        if let Some(options) = &self.stream_options {
            fields.insert("stream_options".to_owned(), options);
        }
        serde_json::to_vec(&fields).expect("JSON that was read serializes").into()
    }
}

/// A field's value; null is as good as absent.
fn field<'a, T: Deserialize<'a>>(
    fields: &BTreeMap<String, &'a RawValue>,
    name: &str,
) -> Result<Option<T>, ()> {
    fields.get(name).map_or(Ok(None), |raw| serde_json::from_str(raw.get()).map_err(drop))
}

/// The stream options with usage asked for, and what becomes of it.
fn ask_for_usage(fields: &BTreeMap<String, &RawValue>) -> Result<(Answer, Box<RawValue>), ()> {
    let mut options: BTreeMap<String, &RawValue> = field(fields, "stream_options")?.unwrap_or_default();
    let asked = field::<bool>(&options, "include_usage")?.unwrap_or(false);
    let yes = to_raw_value(&true).expect("a boolean serializes");
    options.insert("include_usage".to_owned(), &yes);
    let options = to_raw_value(&options).expect("JSON that was read serializes");
    Ok((Answer::Events(if asked { UsageEvents::Pass } else { UsageEvents::Drop }), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> serde_json::Value {
        serde_json::from_slice(&Call::parse(body.as_bytes()).unwrap().body_for("real/name")).unwrap()
    }

    #[test]
    fn only_the_model_and_the_stream_options_are_changed() {
        let body = r#"{"model":"default","messages":[{"role":"user","content":"hi"}],"n":1.50,"seed":12345678901234567890123}"#;
        let bytes = Call::parse(body.as_bytes()).unwrap().body_for("real/name");
        let text = std::str::from_utf8(&bytes).unwrap();
        for kept in
            [r#""messages":[{"role":"user","content":"hi"}]"#, r#""n":1.50"#, "12345678901234567890123"]
        {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
        assert!(text.contains(r#""model":"real/name""#) && !text.contains("stream_options"), "{text}");
        let streamed = sent(r#"{"model":"m","stream":true,"stream_options":{"x":1}}"#);
        assert_eq!(streamed["stream_options"], serde_json::json!({"x": 1, "include_usage": true}));
        assert_eq!(sent(r#"{"model":"m","stream":true}"#)["stream_options"]["include_usage"], true);
        assert!(sent(r#"{"model":"m","stream":false}"#).get("stream_options").is_none());
    }

    #[test]
    fn whoever_asked_for_usage_gets_it() {
        let answer = |body: &str| Call::parse(body.as_bytes()).unwrap().answer;
        let asked = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
        assert_eq!(answer(asked), Answer::Events(UsageEvents::Pass));
        for not_asked in [
            r#"{"model":"m","stream":true}"#,
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
        ] {
            assert_eq!(answer(not_asked), Answer::Events(UsageEvents::Drop), "{not_asked}");
        }
        assert_eq!(answer(r#"{"model":"m","stream":null}"#), Answer::Whole);
    }

    #[test]
    fn what_can_not_be_sent_on_is_refused() {
        for bad in [
            "",
            "[]",
            "{",
            "null",
            "{}",
            r#"{"model":1}"#,
            r#"{"model":null}"#,
            r#"{"model":"m","stream":"yes"}"#,
            r#"{"model":"m","stream":true,"stream_options":[]}"#,
            "{\"model\":\"\u{1}\"}",
        ] {
            assert_eq!(Call::parse(bad.as_bytes()).unwrap_err().reason, Reason::InvalidRequest, "{bad}");
        }
        assert!(Call::parse(b"{\"model\":\"\xff\"}").is_err());
    }

    #[test]
    fn characters_of_the_prompt_are_counted_in_every_form() {
        let count = |body: &str| Call::parse(body.as_bytes()).unwrap().prompt_characters;
        assert_eq!(count(r#"{"model":"m","messages":[{"role":"user","content":"12345"}]}"#), 5);
        assert_eq!(count(r#"{"model":"m","prompt":"123"}"#), 3);
        assert_eq!(count(r#"{"model":"m","input":["12","345"]}"#), 5);
        let parts = r#"{"model":"m","messages":[{"content":[{"type":"text","text":"1234"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#;
        assert_eq!(count(parts), 4, "an image is no text");
    }

    #[test]
    fn routes_are_what_they_are() {
        assert_eq!(Route::of(&Method::POST, "/v1/chat/completions"), Ok(Route::Chat));
        assert_eq!(Route::of(&Method::GET, "/v1/models"), Ok(Route::Models));
        let reason = |method: Method, path: &str| Route::of(&method, path).unwrap_err().reason;
        assert_eq!(reason(Method::GET, "/v1/embeddings"), Reason::MethodNotAllowed);
        for path in
            ["/", "/v1", "/v1/", "/v1/chat/completions/", "/chat/completions", "/v1/files", "/v1//models"]
        {
            assert_eq!(reason(Method::POST, path), Reason::NotFound, "{path}");
        }
    }
}
