//! States, events and changes: the vocabulary of the lifecycle.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{failure::FailureKind, retry::Spent};
use crate::{audit::Operation, ids::Fence, spec::RetryPolicy, text_enum};

text_enum! {
    /// Status of a Run.
    RunStatus("run status") {
        Pending = "pending",
        Running = "running",
        Success = "success",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// Whether it never changes again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Failed | Self::Cancelled => true,
        }
    }
}

text_enum! {
    /// Status of a RunJob, derived from its attempts.
    RunJobStatus("run job status") {
        /// Waits for a place.
        Pending = "pending",
        /// Has a place; its container does not run yet.
        Assigned = "assigned",
        /// Its container runs, or is being stopped.
        Running = "running",
        Success = "success",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl RunJobStatus {
    /// Whether it never changes again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Assigned | Self::Running => false,
            Self::Success | Self::Failed | Self::Cancelled => true,
        }
    }
}

text_enum! {
    /// State of an attempt.
    AttemptState("attempt state") {
        /// Placed on a host; no launcher has taken it.
        Offered = "offered",
        /// A launcher has taken it; nothing was sent to the engine.
        Accepted = "accepted",
        /// A container may exist.
        Starting = "starting",
        /// The container was started.
        Running = "running",
        /// The container is being stopped, or it is unknown whether it still lives.
        Stopping = "stopping",
        /// Ended with a stored outcome.
        Done = "done",
        /// Given up; its outcome will never count.
        Lost = "lost",
    }
}

impl AttemptState {
    /// Whether the attempt still holds its place.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Offered | Self::Accepted | Self::Starting | Self::Running | Self::Stopping => true,
            Self::Done | Self::Lost => false,
        }
    }
}

text_enum! {
    /// Why a running container is stopped.
    StopReason("stop reason") {
        Cancel = "cancel",
        RunTimeout = "timeout_run",
        LogQuota = "log_quota",
        /// The launcher ends and was told to stop its workers.
        LauncherStopping = "launcher_stopping",
    }
}

/// Whether somebody asked for the RunJob to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelState {
    NotRequested,
    Requested,
}

/// A RunJob as the lifecycle sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunJobView {
    pub status: RunJobStatus,
    /// Attempts made so far; the number of the newest one.
    pub attempts: u32,
    pub spent: Spent,
    pub retry: RetryPolicy,
    pub cancel: CancelState,
}

/// An attempt as the lifecycle sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptView {
    pub number: u32,
    pub state: AttemptState,
    pub fence: Fence,
}

/// A RunJob with its newest attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    pub run_job: RunJobView,
    pub attempt: Option<AttemptView>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failed(FailureKind),
    /// Stopped because somebody asked for it.
    Cancelled,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The scheduler found a place.
    Offer,
    /// Nobody took the offer in time.
    Withdraw { fence: Fence },
    /// A launcher takes the offer.
    Accept { fence: Fence },
    /// The owner is about to send `create` to the engine.
    Begin { fence: Fence },
    /// The engine says that the container was started.
    Started { fence: Fence },
    /// The owner is about to stop the container.
    Stop { fence: Fence, reason: StopReason },
    /// The outcome is known and its files are on disk.
    Finish { fence: Fence, outcome: Outcome },
    /// The owner fell silent; whoever adopts next gets a higher fence.
    Orphan { fence: Fence },
    /// A launcher takes over an orphaned attempt under its current fence.
    Adopt { fence: Fence },
    /// The attempt can't come back: its host is gone.
    Lose { failure: FailureKind },
    /// Somebody asks for the RunJob to be cancelled.
    Cancel,
    /// The RunJob will never get a place.
    Refuse { failure: FailureKind },
}

/// What an event does to the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptChange {
    /// Nothing.
    Keep,
    /// A new attempt opens, offered.
    Open { number: u32, fence: Fence },
    /// The attempt moves, or its owner changes.
    Move { state: AttemptState, fence: Fence },
}

/// What an event means for the RunJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Open,
    /// The cancel request is stored; the owner of the attempt acts on it.
    CancelNoted,
    /// It waits again, not before this time.
    Requeued { not_before: DateTime<Utc>, failure: FailureKind },
    /// It ended.
    Ended { failure: Option<FailureKind> },
}

/// The whole effect of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub run_job: RunJobStatus,
    pub attempt: AttemptChange,
    pub spent: Spent,
    pub verdict: Verdict,
    pub operation: Operation,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else owns the attempt by now.
    StaleFence { given: Fence, current: Fence },
    /// The RunJob has reached its terminal state.
    AlreadyEnded { status: RunJobStatus },
    /// There is no open attempt that the event could be about.
    NoOpenAttempt,
    /// The attempt is not in a state from which this event leads anywhere.
    WrongState { state: AttemptState },
    /// The RunJob is not waiting for a place.
    NotWaiting { status: RunJobStatus },
    /// Somebody asked for the RunJob to be cancelled, so it gets no place.
    CancelRequested,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleFence { given, current } => {
                write!(f, "the attempt's fence is {current} by now, not {given}: somebody else owns it")
            }
            Self::AlreadyEnded { status } => write!(f, "the run job has already ended ({status})"),
            Self::NoOpenAttempt => f.write_str("the run job has no open attempt"),
            Self::WrongState { state } => write!(f, "the attempt is {state}"),
            Self::NotWaiting { status } => write!(f, "the run job is {status}, not waiting for a place"),
            Self::CancelRequested => f.write_str("the run job is to be cancelled"),
        }
    }
}

impl std::error::Error for Refusal {}
