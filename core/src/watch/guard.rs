//! The guard's rule: when a host that is out of contact stops its own containers.
//!
//! Silence is measured here by the host itself, by its boot-time clock, from the SEND time of the last contact
//! that the database answered. The scheduler starts counting no earlier than that contact's commit, so with
//! this rule a container is gone at least `MARGIN` before its work may be given to another host.

use std::time::Duration;

use super::SILENT_AFTER;

/// Left between the last SIGKILL of the guard and the scheduler's verdict.
pub const MARGIN: Duration = Duration::from_secs(15);

/// What the guard does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet; look again after this time at the latest.
    Keep { remaining: Duration },
    /// Stop our containers, each with its grace.
    Stop,
}

/// Silence after which the guard stops containers: `min(3/4 T, T - grace - 15 s)` for `T = host_lost_after`.
#[must_use]
pub fn stop_after(host_lost_after: Duration, stop_grace: Duration) -> Duration {
    let three_quarters = host_lost_after * 3 / 4;
    three_quarters.min(host_lost_after.saturating_sub(stop_grace).saturating_sub(MARGIN))
}

/// The least `host_lost_after` that may be configured: the guard still ignores silence of `SILENT_AFTER`, three
/// missed contacts.
#[must_use]
pub fn least_host_lost_after(stop_grace: Duration) -> Duration {
    (SILENT_AFTER * 4 / 3).max(SILENT_AFTER + stop_grace + MARGIN)
}

/// Applies the rule to the silence measured now.
#[must_use]
pub fn judge(silence: Duration, host_lost_after: Duration, stop_grace: Duration) -> Judgement {
    match stop_after(host_lost_after, stop_grace).checked_sub(silence) {
        None | Some(Duration::ZERO) => Judgement::Stop,
        Some(remaining) => Judgement::Keep { remaining },
    }
}
