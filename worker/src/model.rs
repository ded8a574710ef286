//! One question to a language model, through the launcher's gateway, in the way of OpenAI's API.
//!
//! Guarantees an end within its limits of time and bytes, and that an error is a kind and not a text: what an endpoint says
//! of itself may repeat the question. Deliberately absent: retries, which the gateway does over its endpoints, and streaming.

use std::time::Duration;

use cyberbrain_core::{outcome::AskFailure, staging::LlmAccess};
use serde::{Deserialize, Serialize};

/// One answer.
const LIMIT: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// Tokens of an answer: a short object, and a sentence if one is wanted.
const MAX_TOKENS: u32 = 300;

/// A model that can be asked.
pub struct Model {
    agent: ureq::Agent,
    url: String,
    key: String,
    name: String,
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    temperature: f32,
    max_tokens: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

impl Model {
    /// The first model that the launcher's gateway has; `None` if there is none for this worker.
    pub fn of(access: &LlmAccess) -> Option<Self> {
        let LlmAccess::Gateway { base_url, models } = access else { return None };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .max_redirects(0)
            .proxy(None)
            .http_status_as_error(false)
            .build()
            .into();
        Some(Self {
            agent,
            url: format!("{}/chat/completions", base_url.trim_end_matches('/')),
            key: std::env::var("OPENAI_API_KEY").unwrap_or_default(),
            name: models.first()?.clone(),
        })
    }

    /// What it says to this.
    pub fn ask(&self, rules: &str, question: &str) -> Result<String, AskFailure> {
        let body = Question {
            model: &self.name,
            messages: [
                Message { role: "system", content: rules },
                Message { role: "user", content: question },
            ],
            temperature: 0.0,
            max_tokens: MAX_TOKENS,
        };
        let body = serde_json::to_vec(&body).map_err(|_| AskFailure::Malformed)?;
        let mut answer = self
            .agent
            .post(&self.url)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .send(&body[..])
            .map_err(|error| failure(&error))?;
        if !answer.status().is_success() {
            return Err(AskFailure::Refused);
        }
        let bytes = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let bytes = bytes.map_err(|error| failure(&error))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| AskFailure::Malformed)?;
        let first = answer.choices.into_iter().next().ok_or(AskFailure::Malformed)?;
        Ok(first.message.content)
    }
}

fn failure(error: &ureq::Error) -> AskFailure {
    match error {
        ureq::Error::Timeout(_) => AskFailure::Timeout,
        ureq::Error::BodyExceedsLimit(_) => AskFailure::Malformed,
        // A foreign enum, and open: everything else kept the answer from coming.
        _ => AskFailure::Unreachable,
    }
}
