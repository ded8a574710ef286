//! The clock by which silence is counted: it never jumps, and it runs while the machine sleeps.
//!
//! Its readings mean something on this machine and until its next boot only. Deliberately absent: the time of
//! day, which people change.

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
/// Elsewhere the steady clock may stand still during sleep: silence is then counted late, never early.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Milliseconds since some fixed moment, the same for all processes of this machine.
#[must_use]
pub fn now_ms() -> u64 {
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let milliseconds = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::now_ms;

    #[test]
    fn it_counts_milliseconds_and_never_goes_back() {
        let steady = std::time::Instant::now();
        let first = now_ms();
        let mut last = first;
        while steady.elapsed().as_millis() < 20 {
            let now = now_ms();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
        assert!((19..2_000).contains(&(last - first)), "20 ms were counted as {}", last - first);
    }
}
