//! Whether something became more frequent than chance explains.
//!
//! Two counts over two spans are taken for draws of Poisson processes. What is expected of the second follows from the first,
//! and so does its variance: that of the draw, and that of the estimate.

/// So rare a thing is not called rising.
const AT_LEAST: u64 = 10;
/// A smaller factor is not worth a person's time, however certain it is.
const FACTOR: f64 = 2.0;
/// Standard deviations above what is expected.
const SIGMAS: f64 = 3.0;

/// Whether `now` in `now_ms` is a rise over `before` in `before_ms`. A span of nothing tells nothing.
#[must_use]
pub fn is_rising(before: u64, before_ms: u64, now: u64, now_ms: u64) -> bool {
    if now < AT_LEAST || before_ms == 0 || now_ms == 0 {
        return false;
    }
    let spans = now_ms as f64 / before_ms as f64;
    let expected = before as f64 * spans;
    let deviation = (expected * (1.0 + spans)).sqrt();
    let now = now as f64;
    now >= FACTOR * expected && now - expected > SIGMAS * deviation
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_rise_is_large_frequent_and_no_chance() {
        for (before, before_ms, now, now_ms, expected) in [
            (10, HOUR, 40, HOUR, true),
            (10, HOUR, 20, HOUR, false),
            (10, HOUR, 24, HOUR, true),
            (1_000, HOUR, 1_500, HOUR, false),
            (1_000, HOUR, 2_000, HOUR, true),
            (1, HOUR, 9, HOUR, false),
            (1, HOUR, 10, HOUR, true),
            // A day against an hour: 24 times as many are expected.
            (10, HOUR, 240, 24 * HOUR, false),
            (240, 24 * HOUR, 10, HOUR, false),
            (240, 24 * HOUR, 30, HOUR, true),
            (0, HOUR, 100, HOUR, true),
            (1, 0, 100, HOUR, false),
            (1, HOUR, 100, 0, false),
        ] {
            assert_eq!(
                is_rising(before, before_ms, now, now_ms),
                expected,
                "{before} {before_ms} {now} {now_ms}"
            );
        }
    }

    proptest! {
        #[test]
        fn more_is_never_less_of_a_rise(before in 0_u64..10_000, now in 0_u64..100_000, more in 0_u64..1_000, before_ms in 1..HOUR, now_ms in 1..HOUR) {
            if is_rising(before, before_ms, now, now_ms) {
                prop_assert!(is_rising(before, before_ms, now + more, now_ms));
            }
            prop_assert!(!is_rising(now, now_ms, now, now_ms), "the same is no rise");
        }
    }
}
