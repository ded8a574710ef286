//! From the engine's answers to ours: errors, states, times. Pure.

use std::time::Duration;

use bollard::{
    errors::Error as Bollard,
    models::{
        ContainerState as EngineState, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
    },
};
use chrono::{DateTime, Utc};
use cyberbrain_core::staging::ContainerState;

use super::super::{
    error::{EngineCall, Error},
    labels::Labels,
    name::{ContainerId, ContainerName},
    observe::{Exit, Listed, Observation},
};

/// What the engine writes where a time is missing.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// Parts of start and create errors that mean: this engine can't give that GPU.
const GPU_PROBLEMS: [&str; 5] = [
    "could not select device driver",
    "nvidia-container-cli",
    "nvidia-container-runtime",
    "unresolvable CDI devices",
    "unknown or invalid runtime name: nvidia",
];

/// Which call was made, about what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub call: EngineCall,
    pub subject: &'a str,
}

impl Asked<'_> {
    pub(super) fn timeout(self, after: Duration) -> Error {
        Error::Timeout { call: self.call, subject: self.subject.to_owned(), after }
    }

    /// Sorts what the client reports.
    pub(super) fn error(self, error: Bollard) -> Error {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => self.status(status_code, message),
            Bollard::DockerStreamError { error } => self.status(500, error),
            // Everything else is about the connection or about bytes that make no sense.
            other => Error::Unreachable {
                call: self.call,
                subject: self.subject.to_owned(),
                source: Box::new(other),
            },
        }
    }

    fn status(self, status: u16, message: String) -> Error {
        let Self { call, subject } = self;
        let subject = subject.to_owned();
        let starting = matches!(call, EngineCall::Create | EngineCall::Start);
        if starting && GPU_PROBLEMS.iter().any(|problem| message.contains(problem)) {
            return Error::GpuRuntimeMissing { subject, detail: message };
        }
        match (call, status) {
            (EngineCall::Create, 404) => Error::ImageMissing { image: image_of(&message, &subject) },
            (_, 404) => Error::NotFound { call, subject },
            (EngineCall::Create | EngineCall::Rename, 409) => Error::NameTaken { call, subject },
            // The same status for a mount whose source is gone; that is nobody's entry point.
            (EngineCall::Start, 400) if message.contains("error mounting") => {
                Error::Engine { call, subject, status, message }
            }
            (EngineCall::Start, 400) => Error::EntrypointInvalid { subject, detail: message },
            (_, 400 | 403 | 405 | 409) => Error::Refused { call, subject, why: message },
            _ => Error::Engine { call, subject, status, message },
        }
    }
}

/// `No such image: X` names it; else it is what the plan said.
fn image_of(message: &str, subject: &str) -> String {
    message.split_once("No such image: ").map_or(subject, |(_, image)| image.trim()).to_owned()
}

/// What an inspected state means.
pub(super) fn observation(asked: Asked<'_>, state: Option<&EngineState>) -> Observation {
    let Some(state) = state else { return unclear(asked, "no state") };
    let started_at = state.started_at.as_deref().and_then(time);
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => Observation::Created,
        // A paused process lives; `restarting` can't be (no restart policy) but would be alive too.
        Some(
            ContainerStateStatusEnum::RUNNING
            | ContainerStateStatusEnum::PAUSED
            | ContainerStateStatusEnum::STOPPING
            | ContainerStateStatusEnum::RESTARTING,
        ) => Observation::Running { started_at },
        // Dead: it ended, and its removal failed half-way.
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => match state.exit_code {
            Some(code) => Observation::Exited(Exit {
                code,
                oom_killed: state.oom_killed == Some(true),
                started_at,
                finished_at: state.finished_at.as_deref().and_then(time),
            }),
            None => unclear(asked, "exited without a code"),
        },
        Some(ContainerStateStatusEnum::REMOVING) => unclear(asked, "being removed"),
        Some(ContainerStateStatusEnum::EMPTY) | None => unclear(asked, "no status"),
    }
}

fn unclear(asked: Asked<'_>, why: &str) -> Observation {
    Observation::Unknown(Error::Engine {
        call: asked.call,
        subject: asked.subject.to_owned(),
        status: 200,
        message: why.to_owned(),
    })
}

/// A listed container; `None` if the engine gave it no name or id.
pub(super) fn listed(summary: ContainerSummary) -> Option<Listed> {
    let name = summary.names.as_ref()?.first()?;
    Some(Listed {
        name: ContainerName::reported(name),
        id: ContainerId::new(summary.id?),
        labels: Labels::parse(&summary.labels.unwrap_or_default()),
        state: listed_state(summary.state?)?,
        created_at: summary.created.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        image_id: summary.image_id.unwrap_or_default(),
    })
}

pub(super) const fn listed_state(state: ContainerSummaryStateEnum) -> Option<ContainerState> {
    Some(match state {
        ContainerSummaryStateEnum::CREATED => ContainerState::Created,
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING => ContainerState::Running,
        ContainerSummaryStateEnum::PAUSED => ContainerState::Paused,
        ContainerSummaryStateEnum::RESTARTING => ContainerState::Restarting,
        ContainerSummaryStateEnum::EXITED => ContainerState::Exited,
        ContainerSummaryStateEnum::REMOVING => ContainerState::Removing,
        ContainerSummaryStateEnum::DEAD => ContainerState::Dead,
        ContainerSummaryStateEnum::EMPTY => return None,
    })
}

/// The engine's time, unless it means *never*.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    if text == NEVER {
        return None;
    }
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
