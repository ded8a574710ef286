//! What becomes of a RunJob whose attempt failed.

use chrono::{DateTime, TimeDelta, Utc};

use super::failure::{FailureClass, FailureKind};
use crate::spec::RetryPolicy;

/// Longest pause between two attempts.
const MAX_BACKOFF_SECONDS: i64 = 300;

/// Failures that a RunJob has behind it, the one just seen not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Failures of the job itself.
    pub user: u32,
    /// Failures of hosts, engines and launchers.
    pub infrastructure: u32,
}

/// Whether a failed RunJob gets another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, not before this time.
    At(DateTime<Utc>),
    /// No.
    GiveUp,
}

/// Decides on another attempt, and returns the failures now spent.
#[must_use]
pub fn decide(policy: RetryPolicy, spent: Spent, failure: FailureKind, now: DateTime<Utc>) -> (Retry, Spent) {
    match failure.class() {
        FailureClass::Untouched => (Retry::At(now), spent),
        FailureClass::Final => (Retry::GiveUp, spent),
        FailureClass::Infrastructure => {
            let after = Spent { infrastructure: spent.infrastructure + 1, ..spent };
            let retry = if after.infrastructure <= policy.max_infra_failures {
                Retry::At(now + backoff(policy, spent.infrastructure))
            } else {
                Retry::GiveUp
            };
            (retry, after)
        }
        FailureClass::User => {
            let after = Spent { user: spent.user + 1, ..spent };
            let retry = if after.user < policy.max_attempts {
                Retry::At(now + backoff(policy, spent.user))
            } else {
                Retry::GiveUp
            };
            (retry, after)
        }
    }
}

/// `backoff_seconds · 2^failures_before`, capped. No jitter: one scheduler spreads the retries anyway.
fn backoff(policy: RetryPolicy, failures_before: u32) -> TimeDelta {
    let factor = 1_i64.checked_shl(failures_before.min(16)).unwrap_or(i64::MAX);
    TimeDelta::seconds(i64::from(policy.backoff_seconds).saturating_mul(factor).min(MAX_BACKOFF_SECONDS))
}
