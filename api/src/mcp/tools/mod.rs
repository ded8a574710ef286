//! What the tools do: parse the arguments strictly, call the service that REST calls, show what REST shows.

pub(super) mod allowlist;
pub(super) mod library;
pub(super) mod machines;
pub(super) mod runs;

use std::{fmt::Display, str::FromStr, time::Duration};

use cyberbrain_common::keys::Principal;
use rmcp::{
    Peer, RoleServer,
    model::{CreateTaskResult, JsonObject, ProgressNotificationParam, ProgressToken},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use crate::{
    app::App,
    problem::{FieldError, Kind, Part, Problem},
};

/// Longest time for one notification.
const NOTIFY_LIMIT: Duration = Duration::from_secs(5);

/// One call: who, on what, and how to tell progress.
pub(crate) struct Call<'a> {
    pub app: &'a App,
    pub caller: &'a Principal,
    pub peer: &'a Peer<RoleServer>,
    /// Set if the client wants to hear of progress.
    pub progress: Option<ProgressToken>,
    /// Cancelled when the client gave up.
    pub cancelled: &'a CancellationToken,
    pub tasks: Tasks,
}

impl Call<'_> {
    /// Tells how far it is. A client that can't be told is no reason to stop.
    pub(super) async fn tell(&self, done: f64, total: f64, message: String) {
        let Some(token) = self.progress.clone() else { return };
        let told = ProgressNotificationParam::new(token, done).with_total(total).with_message(message);
        let _ = tokio::time::timeout(NOTIFY_LIMIT, self.peer.notify_progress(told)).await;
    }
}

/// What a tool answers.
pub(crate) struct Reply {
    /// Of the tool's output schema.
    pub content: Value,
    /// One sentence for whoever reads texts only.
    pub said: String,
    /// Given in place of both: the work goes on, and the client asks for what comes of it.
    pub task: Option<Box<CreateTaskResult>>,
}

impl Reply {
    pub(super) fn new<T: Serialize>(content: &T, said: impl Into<String>) -> Result<Self, Problem> {
        let content = serde_json::to_value(content).map_err(|error| Problem::internal(&error))?;
        Ok(Self { content, said: said.into(), task: None })
    }
}

/// Reads a tool's arguments; unknown ones are refused with their place.
pub(super) fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let pointer: String = match error.path().to_string().as_str() {
            "." => String::new(),
            path => format!("/{}", path.replace(['.', '['], "/").replace(']', "").replace("//", "/")),
        };
        let detail = error.inner().to_string();
        Problem::new(Kind::InvalidRequest, &detail).errors(vec![FieldError::new(
            Part::Body,
            pointer,
            &detail,
        )])
    })
}

/// One argument that is wrong.
pub(super) fn wrong(pointer: &str, detail: &str) -> Problem {
    Problem::new(Kind::InvalidRequest, detail).errors(vec![FieldError::new(Part::Body, pointer, detail)])
}

/// How much of a list is wanted, and from where on.
pub(super) fn page<C>(
    limit: Option<i64>,
    (most, default): (i64, i64),
    cursor: Option<&str>,
) -> Result<(i64, Option<C>), Problem>
where
    C: FromStr,
    C::Err: Display,
{
    let limit = limit.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        return Err(wrong("/limit", &format!("it is between 1 and {most}")));
    }
    let cursor = cursor.map(str::parse::<C>).transpose();
    Ok((limit, cursor.map_err(|error| wrong("/cursor", &error.to_string()))?))
}
