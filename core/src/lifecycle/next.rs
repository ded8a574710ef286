//! `next`: the one place where a RunJob or an attempt changes state.

use chrono::{DateTime, Utc};

use super::{
    failure::FailureKind,
    retry::{Retry, decide},
    state::{
        AttemptChange, AttemptState, AttemptView, CancelState, Change, Event, Outcome, Refusal, RunJobStatus,
        RunJobView, Snapshot, Verdict,
    },
};
use crate::{audit::Operation, ids::Fence};

/// What `event` does to this RunJob and its newest attempt.
///
/// # Errors
/// A [`Refusal`] when the event does not apply; nothing may be written then.
pub fn next(snapshot: &Snapshot, event: Event, now: DateTime<Utc>) -> Result<Change, Refusal> {
    let job = snapshot.run_job;
    if job.status.is_terminal() {
        return Err(Refusal::AlreadyEnded { status: job.status });
    }
    match event {
        Event::Offer => offer(snapshot),
        Event::Cancel => cancel(snapshot),
        Event::Refuse { failure } => match job.status {
            RunJobStatus::Pending => Ok(end(job, AttemptChange::Keep, Some(failure), Operation::Refuse)),
            status => Err(Refusal::NotWaiting { status }),
        },
        Event::Lose { failure } => {
            let attempt = open_attempt(snapshot)?;
            Ok(give_up(job, attempt, AttemptState::Lost, failure, Operation::Lost, now))
        }
        Event::Withdraw { fence } => {
            let attempt = owned(snapshot, fence, &[AttemptState::Offered])?;
            Ok(give_up(job, attempt, AttemptState::Lost, FailureKind::OfferExpired, Operation::Lost, now))
        }
        Event::Accept { fence } => {
            let attempt = owned(snapshot, fence, &[AttemptState::Offered])?;
            Ok(step(job, attempt, AttemptState::Accepted, Operation::Accept))
        }
        Event::Begin { fence } => {
            let attempt = owned(snapshot, fence, &[AttemptState::Accepted])?;
            Ok(step(job, attempt, AttemptState::Starting, Operation::Stage))
        }
        Event::Started { fence } => {
            let attempt = owned(snapshot, fence, &[AttemptState::Starting])?;
            Ok(step(job, attempt, AttemptState::Running, Operation::Start))
        }
        Event::Stop { fence, reason: _ } => {
            let from = [AttemptState::Accepted, AttemptState::Starting, AttemptState::Running];
            let attempt = owned(snapshot, fence, &from)?;
            Ok(step(job, attempt, AttemptState::Stopping, Operation::Stop))
        }
        Event::Orphan { fence } => {
            let attempt = owned(snapshot, fence, &TAKEN)?;
            let moved = AttemptView { fence: fence.next(), ..attempt };
            Ok(step(job, moved, attempt.state, Operation::Lost))
        }
        Event::Adopt { fence } => {
            let attempt = owned(snapshot, fence, &TAKEN)?;
            Ok(step(job, attempt, attempt.state, Operation::Adopt))
        }
        Event::Finish { fence, outcome } => {
            let attempt = owned(snapshot, fence, &TAKEN)?;
            Ok(finish(job, attempt, outcome, now))
        }
    }
}

/// The states in which a launcher owns the attempt.
const TAKEN: [AttemptState; 4] =
    [AttemptState::Accepted, AttemptState::Starting, AttemptState::Running, AttemptState::Stopping];

fn offer(snapshot: &Snapshot) -> Result<Change, Refusal> {
    let job = snapshot.run_job;
    if job.status != RunJobStatus::Pending {
        return Err(Refusal::NotWaiting { status: job.status });
    }
    match job.cancel {
        CancelState::Requested => Err(Refusal::CancelRequested),
        CancelState::NotRequested => Ok(Change {
            run_job: RunJobStatus::Assigned,
            attempt: AttemptChange::Open { number: job.attempts + 1, fence: first_fence(snapshot) },
            spent: job.spent,
            verdict: Verdict::Open,
            operation: Operation::Assign,
        }),
    }
}

/// Above every fence that an earlier attempt of this RunJob had: an event names the RunJob and a fence, so a fence
/// must never mean two attempts. Else an owner that comes back late could end somebody else's attempt.
fn first_fence(snapshot: &Snapshot) -> Fence {
    snapshot.attempt.map_or(Fence::FIRST, |earlier| earlier.fence.next())
}

/// Ends what nobody has taken yet; asks the owner otherwise.
fn cancel(snapshot: &Snapshot) -> Result<Change, Refusal> {
    let job = snapshot.run_job;
    let failure = Some(FailureKind::Cancelled);
    match snapshot.attempt.filter(|attempt| attempt.state.is_open()) {
        None => Ok(end(job, AttemptChange::Keep, failure, Operation::Cancel)),
        Some(attempt) if attempt.state == AttemptState::Offered => {
            let closed = AttemptChange::Move { state: AttemptState::Done, fence: attempt.fence };
            Ok(end(job, closed, failure, Operation::Cancel))
        }
        Some(_) => Ok(Change {
            run_job: job.status,
            attempt: AttemptChange::Keep,
            spent: job.spent,
            verdict: Verdict::CancelNoted,
            operation: Operation::Cancel,
        }),
    }
}

fn finish(job: RunJobView, attempt: AttemptView, outcome: Outcome, now: DateTime<Utc>) -> Change {
    let done = AttemptChange::Move { state: AttemptState::Done, fence: attempt.fence };
    match outcome {
        Outcome::Success => Change {
            run_job: RunJobStatus::Success,
            attempt: done,
            spent: job.spent,
            verdict: Verdict::Ended { failure: None },
            operation: Operation::Finish,
        },
        Outcome::Cancelled => end(job, done, Some(FailureKind::Cancelled), Operation::Finish),
        Outcome::Failed(failure) => {
            give_up(job, attempt, AttemptState::Done, failure, Operation::Finish, now)
        }
    }
}

/// Closes the attempt with a failure: back into the queue, or the end of the RunJob.
fn give_up(
    job: RunJobView,
    attempt: AttemptView,
    state: AttemptState,
    failure: FailureKind,
    operation: Operation,
    now: DateTime<Utc>,
) -> Change {
    let closed = AttemptChange::Move { state, fence: attempt.fence };
    let (retry, spent) = decide(job.retry, job.spent, failure, now);
    let job = RunJobView { spent, ..job };
    match (job.cancel, retry) {
        (CancelState::Requested, Retry::At(_)) => end(job, closed, Some(FailureKind::Cancelled), operation),
        (CancelState::NotRequested, Retry::At(not_before)) => Change {
            run_job: RunJobStatus::Pending,
            attempt: closed,
            spent,
            verdict: Verdict::Requeued { not_before, failure },
            operation,
        },
        (CancelState::Requested | CancelState::NotRequested, Retry::GiveUp) => {
            end(job, closed, Some(failure), operation)
        }
    }
}

fn end(
    job: RunJobView,
    attempt: AttemptChange,
    failure: Option<FailureKind>,
    operation: Operation,
) -> Change {
    let run_job = match failure {
        None => RunJobStatus::Success,
        Some(FailureKind::Cancelled) => RunJobStatus::Cancelled,
        Some(_) => RunJobStatus::Failed,
    };
    Change { run_job, attempt, spent: job.spent, verdict: Verdict::Ended { failure }, operation }
}

fn step(job: RunJobView, attempt: AttemptView, state: AttemptState, operation: Operation) -> Change {
    let run_job = match state {
        AttemptState::Offered | AttemptState::Accepted | AttemptState::Starting => RunJobStatus::Assigned,
        AttemptState::Running => RunJobStatus::Running,
        // A container that is stopped before it ran leaves the RunJob assigned.
        AttemptState::Stopping | AttemptState::Done | AttemptState::Lost => job.status,
    };
    Change {
        run_job,
        attempt: AttemptChange::Move { state, fence: attempt.fence },
        spent: job.spent,
        verdict: Verdict::Open,
        operation,
    }
}

fn open_attempt(snapshot: &Snapshot) -> Result<AttemptView, Refusal> {
    snapshot.attempt.filter(|attempt| attempt.state.is_open()).ok_or(Refusal::NoOpenAttempt)
}

fn owned(snapshot: &Snapshot, given: Fence, from: &[AttemptState]) -> Result<AttemptView, Refusal> {
    let attempt = open_attempt(snapshot)?;
    if attempt.fence != given {
        return Err(Refusal::StaleFence { given, current: attempt.fence });
    }
    if from.contains(&attempt.state) {
        Ok(attempt)
    } else {
        Err(Refusal::WrongState { state: attempt.state })
    }
}
