//! The whole transition table, and what must hold for every snapshot and every event.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    AttemptChange, AttemptState, AttemptView, CancelState, Change, Event, FailureClass, FailureKind, Outcome,
    Refusal, RunJobStatus, RunJobView, RunProgress, RunStatus, Snapshot, Spent, StopReason, Verdict,
    decide_retry, next, run_status,
};
use crate::{audit::Operation, ids::Fence, lifecycle::Retry, spec::RetryPolicy};

const FENCE: Fence = Fence(3);
const STALE: Fence = Fence(2);

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// The status that a RunJob has while its newest attempt is in `state`.
fn status_for(state: Option<AttemptState>) -> &'static [RunJobStatus] {
    use RunJobStatus::{Assigned, Pending, Running};
    match state {
        None | Some(AttemptState::Done | AttemptState::Lost) => &[Pending],
        Some(AttemptState::Offered | AttemptState::Accepted | AttemptState::Starting) => &[Assigned],
        Some(AttemptState::Running) => &[Running],
        Some(AttemptState::Stopping) => &[Assigned, Running],
    }
}

fn snapshot(status: RunJobStatus, state: Option<AttemptState>, cancel: CancelState) -> Snapshot {
    Snapshot {
        run_job: RunJobView {
            status,
            attempts: u32::from(state.is_some()) * 2,
            spent: Spent { user: 0, infrastructure: 1 },
            retry: RetryPolicy { max_attempts: 2, max_infra_failures: 5, backoff_seconds: 5 },
            cancel,
        },
        attempt: state.map(|state| AttemptView { number: 2, state, fence: FENCE }),
    }
}

/// Every snapshot that can be: each open status with each fitting attempt, and each terminal one.
fn snapshots() -> Vec<Snapshot> {
    let states = std::iter::once(None).chain(AttemptState::ALL.iter().copied().map(Some));
    let mut all = Vec::new();
    for state in states {
        for cancel in [CancelState::NotRequested, CancelState::Requested] {
            all.extend(status_for(state).iter().map(|status| snapshot(*status, state, cancel)));
        }
    }
    for status in [RunJobStatus::Success, RunJobStatus::Failed, RunJobStatus::Cancelled] {
        all.push(snapshot(status, Some(AttemptState::Done), CancelState::NotRequested));
        all.push(snapshot(status, None, CancelState::NotRequested));
    }
    all
}

fn outcomes() -> Vec<Outcome> {
    let failed = FailureKind::ALL.iter().copied().map(Outcome::Failed);
    [Outcome::Success, Outcome::Cancelled].into_iter().chain(failed).collect()
}

fn events(fence: Fence) -> Vec<Event> {
    let mut all = vec![
        Event::Offer,
        Event::Withdraw { fence },
        Event::Accept { fence },
        Event::Begin { fence },
        Event::Started { fence },
        Event::Orphan { fence },
        Event::Adopt { fence },
        Event::Cancel,
    ];
    all.extend(StopReason::ALL.iter().map(|&reason| Event::Stop { fence, reason }));
    all.extend(outcomes().into_iter().map(|outcome| Event::Finish { fence, outcome }));
    all.extend(FailureKind::ALL.iter().map(|&failure| Event::Lose { failure }));
    all.extend(FailureKind::ALL.iter().map(|&failure| Event::Refuse { failure }));
    all
}

/// From which states of the attempt an event leads anywhere, and where; the one table of the life cycle.
fn expected(event: Event, state: Option<AttemptState>) -> Option<Option<AttemptState>> {
    use AttemptState::{Accepted, Done, Lost, Offered, Running, Starting, Stopping};
    let open = state.filter(|state| state.is_open());
    let taken = open.filter(|state| *state != Offered);
    match event {
        Event::Offer => open.is_none().then_some(Some(Offered)),
        Event::Refuse { .. } => open.is_none().then_some(None),
        Event::Cancel => Some(open.filter(|state| *state == Offered).map(|_| Done)),
        Event::Withdraw { .. } => (open == Some(Offered)).then_some(Some(Lost)),
        Event::Accept { .. } => (open == Some(Offered)).then_some(Some(Accepted)),
        Event::Begin { .. } => (open == Some(Accepted)).then_some(Some(Starting)),
        Event::Started { .. } => (open == Some(Starting)).then_some(Some(Running)),
        Event::Stop { .. } => taken.filter(|state| *state != Stopping).map(|_| Some(Stopping)),
        Event::Finish { .. } => taken.map(|_| Some(Done)),
        Event::Orphan { .. } | Event::Adopt { .. } => taken.map(Some),
        Event::Lose { .. } => open.map(|_| Some(Lost)),
    }
}

fn fence_of(event: Event) -> Option<Fence> {
    match event {
        Event::Offer | Event::Lose { .. } | Event::Cancel | Event::Refuse { .. } => None,
        Event::Withdraw { fence }
        | Event::Accept { fence }
        | Event::Begin { fence }
        | Event::Started { fence }
        | Event::Stop { fence, .. }
        | Event::Finish { fence, .. }
        | Event::Orphan { fence }
        | Event::Adopt { fence } => Some(fence),
    }
}

fn moved(change: &Change) -> Option<AttemptState> {
    match change.attempt {
        AttemptChange::Keep => None,
        AttemptChange::Open { .. } => Some(AttemptState::Offered),
        AttemptChange::Move { state, .. } => Some(state),
    }
}

#[test]
fn the_table_is_exactly_this() {
    let mut checked = 0;
    for before in snapshots().into_iter().filter(|snapshot| !snapshot.run_job.status.is_terminal()) {
        for event in events(FENCE) {
            let state = before.attempt.map(|attempt| attempt.state);
            let outcome = next(&before, event, now());
            let wanted = match (event, before.run_job.cancel) {
                (Event::Offer, CancelState::Requested) => None,
                _ => expected(event, state),
            };
            assert_eq!(outcome.ok().map(|change| moved(&change)), wanted, "{event:?} on {before:?}");
            checked += 1;
        }
    }
    assert!(checked > 1_000, "only {checked} combinations");
}

#[test]
fn a_terminal_run_job_never_changes() {
    for before in snapshots().into_iter().filter(|snapshot| snapshot.run_job.status.is_terminal()) {
        for event in events(FENCE) {
            let status = before.run_job.status;
            assert_eq!(next(&before, event, now()), Err(Refusal::AlreadyEnded { status }));
        }
    }
}

#[test]
fn a_stale_fence_changes_nothing() {
    for before in snapshots() {
        for event in events(STALE).into_iter().filter(|event| fence_of(*event).is_some()) {
            assert!(next(&before, event, now()).is_err(), "{event:?} on {before:?}");
        }
    }
}

#[test]
fn every_change_is_consistent() {
    for before in snapshots() {
        for event in events(FENCE) {
            let Ok(change) = next(&before, event, now()) else { continue };
            let after = match change.attempt {
                AttemptChange::Keep => before.attempt.map(|attempt| attempt.state),
                AttemptChange::Open { number, fence } => {
                    let first = before.attempt.map_or(Fence::FIRST, |earlier| earlier.fence.next());
                    assert_eq!((number, fence), (before.run_job.attempts + 1, first));
                    Some(AttemptState::Offered)
                }
                AttemptChange::Move { state, fence } => {
                    let next_owner = matches!(event, Event::Orphan { .. });
                    assert_eq!(fence, if next_owner { FENCE.next() } else { FENCE });
                    Some(state)
                }
            };
            let open = after.is_some_and(AttemptState::is_open);
            match change.verdict {
                Verdict::Ended { failure } => {
                    assert!(change.run_job.is_terminal() && !open, "{event:?}: {change:?}");
                    assert_eq!(failure.is_none(), change.run_job == RunJobStatus::Success);
                }
                Verdict::Requeued { not_before, .. } => {
                    assert!(change.run_job == RunJobStatus::Pending && !open && not_before >= now());
                    assert_eq!(
                        before.run_job.cancel,
                        CancelState::NotRequested,
                        "a cancelled job is never requeued"
                    );
                }
                Verdict::Open | Verdict::CancelNoted => {
                    assert!(!change.run_job.is_terminal() && open, "{event:?}: {change:?}");
                }
            }
            assert!(
                status_for(after).contains(&change.run_job) || change.run_job.is_terminal(),
                "{event:?}: {change:?}"
            );
        }
    }
}

#[test]
fn a_cancelled_taken_attempt_waits_for_its_owner() {
    let running = snapshot(RunJobStatus::Running, Some(AttemptState::Running), CancelState::NotRequested);
    let change = next(&running, Event::Cancel, now()).unwrap();
    assert_eq!((change.verdict, change.operation), (Verdict::CancelNoted, Operation::Cancel));
    assert_eq!((change.run_job, change.attempt), (RunJobStatus::Running, AttemptChange::Keep));
}

#[test]
fn a_cancelled_run_job_is_not_tried_again_after_a_lost_host() {
    let running = snapshot(RunJobStatus::Running, Some(AttemptState::Running), CancelState::Requested);
    let change = next(&running, Event::Lose { failure: FailureKind::HostLost }, now()).unwrap();
    assert_eq!(change.run_job, RunJobStatus::Cancelled);
}

#[test]
fn retries_by_class() {
    let policy = RetryPolicy { max_attempts: 3, max_infra_failures: 2, backoff_seconds: 5 };
    let spent = |user, infrastructure| Spent { user, infrastructure };
    let after = |seconds| Retry::At(now() + TimeDelta::seconds(seconds));
    for (failure, before, retry, spent_after) in [
        (FailureKind::NonzeroExit, spent(0, 0), after(5), spent(1, 0)),
        (FailureKind::NonzeroExit, spent(1, 0), after(10), spent(2, 0)),
        (FailureKind::NonzeroExit, spent(2, 0), Retry::GiveUp, spent(3, 0)),
        (FailureKind::HostLost, spent(0, 0), after(5), spent(0, 1)),
        (FailureKind::HostLost, spent(2, 1), after(10), spent(2, 2)),
        (FailureKind::HostLost, spent(0, 2), Retry::GiveUp, spent(0, 3)),
        (FailureKind::OfferExpired, spent(2, 2), after(0), spent(2, 2)),
        (FailureKind::ImageNotAllowed, spent(0, 0), Retry::GiveUp, spent(0, 0)),
        (FailureKind::Cancelled, spent(0, 0), Retry::GiveUp, spent(0, 0)),
    ] {
        assert_eq!(
            decide_retry(policy, before, failure, now()),
            (retry, spent_after),
            "{failure} after {before:?}"
        );
    }
}

#[test]
fn a_pause_never_exceeds_five_minutes() {
    let policy =
        RetryPolicy { max_attempts: u32::MAX, max_infra_failures: u32::MAX, backoff_seconds: u32::MAX };
    for user in [0, 1, 16, 63, 64, u32::MAX - 2] {
        let spent = Spent { user, infrastructure: 0 };
        let (retry, _) = decide_retry(policy, spent, FailureKind::NonzeroExit, now());
        assert_eq!(retry, Retry::At(now() + TimeDelta::seconds(300)));
    }
}

#[test]
fn only_untouched_offers_are_free() {
    for kind in FailureKind::ALL {
        assert_eq!(kind.class() == FailureClass::Untouched, *kind == FailureKind::OfferExpired);
    }
}

#[test]
fn a_run_ends_as_its_worst_job() {
    use RunJobStatus::{Assigned, Cancelled, Failed, Pending, Running, Success};
    for (jobs, status) in [
        (&[Success, Success][..], Some(RunStatus::Success)),
        (&[Success, Cancelled], Some(RunStatus::Cancelled)),
        (&[Cancelled, Failed, Success], Some(RunStatus::Failed)),
        (&[Failed, Pending], None),
        (&[Success, Assigned], None),
        (&[Success, Running], None),
    ] {
        assert_eq!(run_status(jobs.iter().copied().collect::<RunProgress>()), status, "{jobs:?}");
    }
}
