//! Why the gateway itself answers instead of an endpoint: the closed list, and the answer in OpenAI's form.
//!
//! Each says what is wrong and what to do. None carries text of a prompt, an answer or a header.

use cyberbrain_core::text_enum;
use hyper::StatusCode;
use serde_json::json;

use super::budget::Exceeded;

text_enum! {
    /// The kind of a refusal; also a metric's label and the `code` of the answer.
    Reason("reason of a refusal") {
        InvalidToken = "invalid_token",
        AttemptEnded = "attempt_ended",
        NotFound = "not_found",
        MethodNotAllowed = "method_not_allowed",
        TooLarge = "request_too_large",
        TooSlow = "request_too_slow",
        InvalidRequest = "invalid_request",
        UnknownModel = "model_not_found",
        TooManyCalls = "too_many_calls",
        TokenBudget = "token_budget_spent",
        Busy = "gateway_busy",
        NoDatabase = "database_unavailable",
        NoEndpoint = "no_endpoint_answered",
    }
}

/// A refusal, with what its sentence needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: Reason,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self.reason {
            Reason::InvalidToken | Reason::AttemptEnded => StatusCode::UNAUTHORIZED,
            Reason::NotFound | Reason::UnknownModel => StatusCode::NOT_FOUND,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Reason::InvalidRequest => StatusCode::BAD_REQUEST,
            Reason::TooManyCalls | Reason::TokenBudget => StatusCode::TOO_MANY_REQUESTS,
            Reason::Busy | Reason::NoDatabase => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NoEndpoint => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the same request may work in a moment.
    pub(super) const fn worth_repeating(&self) -> bool {
        matches!(self.reason, Reason::TooManyCalls | Reason::Busy | Reason::NoDatabase)
    }

    /// As OpenAI's clients expect an error.
    pub(super) fn body(&self) -> Vec<u8> {
        let kind = if self.status().is_server_error() { "gateway_error" } else { "invalid_request_error" };
        let error =
            json!({"message": self.message, "type": kind, "param": null, "code": self.reason.as_str()});
        serde_json::to_vec(&json!({ "error": error })).expect("a tree of texts serializes")
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Tokens { used, limit } => Self::new(
                Reason::TokenBudget,
                format!(
                    "this attempt has used {used} of its {limit} tokens; an operator can raise --llm-attempt-tokens"
                ),
            ),
            Exceeded::Calls { limit } => Self::new(
                Reason::TooManyCalls,
                format!(
                    "this attempt has {limit} calls open, and no more are allowed at once; wait for one to end"
                ),
            ),
        }
    }
}
