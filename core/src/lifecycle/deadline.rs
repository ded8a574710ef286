//! How long each unfinished state may last before the scheduler acts.

use chrono::{DateTime, TimeDelta, Utc};

use super::state::AttemptState;
use crate::spec::Timeouts;

/// An offer that nobody takes in this time is withdrawn and placed again at once.
const OFFER_SECONDS: i64 = 30;
/// Staging inputs and pulling an image.
const PREPARE_SECONDS: i64 = 1_800;
/// What an owner gets on top of the limits that it enforces itself, before it is taken for stuck.
const MARGIN_SECONDS: i64 = 120;

/// When an unfinished attempt in this state is taken for stuck; `None` for an ended one.
#[must_use]
pub fn attempt_deadline(
    state: AttemptState,
    timeouts: Timeouts,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let grace = i64::from(timeouts.stop_grace_seconds);
    let seconds = match state {
        AttemptState::Offered => OFFER_SECONDS,
        AttemptState::Accepted | AttemptState::Starting => PREPARE_SECONDS,
        AttemptState::Running => i64::from(timeouts.run_seconds) + grace + MARGIN_SECONDS,
        AttemptState::Stopping => grace + MARGIN_SECONDS,
        AttemptState::Done | AttemptState::Lost => return None,
    };
    Some(now + TimeDelta::seconds(seconds))
}

/// When a RunJob that waits from `now` on has waited too long.
#[must_use]
pub fn queue_deadline(timeouts: Timeouts, now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::seconds(i64::from(timeouts.queue_seconds))
}
