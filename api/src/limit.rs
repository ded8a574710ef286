//! How often somebody may ask: a bound on wrong keys for each address, and one on requests for each key.
//!
//! Guarantees bounded memory: addresses and keys that have been quiet are forgotten. Deliberately absent: limits that
//! several api processes share; each counts for itself.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use cyberbrain_common::metric;
use cyberbrain_core::ids::ApiKeyId;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::problem::{Kind, Problem};

/// After so many checks the quiet ones are forgotten.
const FORGET_EVERY: u32 = 1_024;
/// Addresses that are shut out at once; beyond that the others get their 401 as before.
const MAX_SHUT_OUT: usize = 10_000;

/// Bounds on how often somebody may ask.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct LimitArgs {
    /// Requests per second of one API key, on average; 429 beyond
    #[arg(long, env = "CYBERBRAIN_RATE_LIMIT_PER_SECOND", default_value = "200")]
    pub rate_limit_per_second: NonZeroU32,
    /// Requests of one API key at once, before the average counts
    #[arg(long, env = "CYBERBRAIN_RATE_LIMIT_BURST", default_value = "1000")]
    pub rate_limit_burst: NonZeroU32,
    /// Wrong keys per minute from one address; 429 beyond, also for right ones from there
    #[arg(long, env = "CYBERBRAIN_KEY_FAILURES_PER_MINUTE", default_value = "60")]
    pub key_failures_per_minute: NonZeroU32,
}

/// The bounds at work. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: DefaultKeyedRateLimiter<ApiKeyId>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    /// Until when an address is shut out.
    shut_out: Mutex<HashMap<IpAddr, Instant>>,
    checks: AtomicU32,
}

impl Limits {
    pub(crate) fn new(args: &LimitArgs) -> Self {
        let requests = Quota::per_second(args.rate_limit_per_second).allow_burst(args.rate_limit_burst);
        Self(Arc::new(Inner {
            requests: RateLimiter::keyed(requests),
            failures: RateLimiter::keyed(Quota::per_minute(args.key_failures_per_minute)),
            shut_out: Mutex::default(),
            checks: AtomicU32::new(0),
        }))
    }

    /// Whether requests from this address are read at all.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), Problem> {
        let now = Instant::now();
        let mut shut_out = self.0.shut_out.lock().unwrap_or_else(PoisonError::into_inner);
        match shut_out.get(&address) {
            Some(until) if *until > now => Err(too_many_failures(*until - now)),
            Some(_) => {
                shut_out.remove(&address);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts a wrong key; refuses when there were too many.
    pub(crate) fn failed(&self, address: IpAddr) -> Result<(), Problem> {
        self.forget_the_quiet();
        let Err(full) = self.0.failures.check_key(&address) else { return Ok(()) };
        let wait = full.wait_time_from(self.0.failures.clock().now());
        let now = Instant::now();
        let mut shut_out = self.0.shut_out.lock().unwrap_or_else(PoisonError::into_inner);
        if shut_out.len() >= MAX_SHUT_OUT {
            shut_out.retain(|_, until| *until > now);
        }
        if shut_out.len() < MAX_SHUT_OUT {
            shut_out.insert(address, now + wait);
        }
        Err(too_many_failures(wait))
    }

    /// Counts a request of this key; refuses when there were too many.
    pub(crate) fn request(&self, key: ApiKeyId) -> Result<(), Problem> {
        self.forget_the_quiet();
        let Err(full) = self.0.requests.check_key(&key) else { return Ok(()) };
        metrics::counter!(metric::HTTP_LIMITED, "why" => "requests").increment(1);
        let wait = full.wait_time_from(self.0.requests.clock().now());
        let detail = "this key asks too often; ask less, or have --rate-limit-per-second raised";
        Err(Problem::new(Kind::RateLimited, detail).retry_after(seconds(wait)))
    }

    fn forget_the_quiet(&self) {
        if self.0.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.0.requests.retain_recent();
            self.0.failures.retain_recent();
        }
    }
}

fn too_many_failures(wait: Duration) -> Problem {
    metrics::counter!(metric::HTTP_LIMITED, "why" => "wrong_keys").increment(1);
    let detail = "too many wrong keys came from this address; wait, then send a valid one";
    Problem::new(Kind::RateLimited, detail).retry_after(seconds(wait))
}

/// Rounded up: asked again after that, it is let through.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    fn limits() -> Limits {
        let few = NonZeroU32::new(3).unwrap();
        let one = NonZeroU32::new(1).unwrap();
        Limits::new(&LimitArgs {
            rate_limit_per_second: one,
            rate_limit_burst: few,
            key_failures_per_minute: few,
        })
    }

    #[test]
    fn too_many_wrong_keys_shut_an_address_out_and_no_other() {
        let limits = limits();
        let [bad, good] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last)));
        for _ in 0..3 {
            assert!(limits.admit(bad).is_ok() && limits.failed(bad).is_ok());
        }
        let refused = limits.failed(bad).unwrap_err();
        assert_eq!((refused.kind, refused.retry_after_seconds.unwrap() >= 1), (Kind::RateLimited, true));
        assert!(limits.admit(bad).is_err(), "whatever it sends");
        assert!(limits.admit(good).is_ok() && limits.failed(good).is_ok());
    }

    #[test]
    fn a_key_has_its_burst_and_no_other_key_pays_for_it() {
        let limits = limits();
        let [one, other] = [1, 2].map(|number| ApiKeyId::from(Uuid::from_u128(number)));
        for _ in 0..3 {
            assert!(limits.request(one).is_ok());
        }
        assert_eq!(limits.request(one).unwrap_err().retry_after_seconds, Some(1));
        assert!(limits.request(other).is_ok());
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let limits = limits();
        for number in 0..20_000_u32 {
            let address = IpAddr::from(Ipv4Addr::from(number));
            for _ in 0..4 {
                let _ = limits.failed(address);
            }
        }
        assert!(limits.0.shut_out.lock().unwrap().len() <= MAX_SHUT_OUT);
    }
}
