//! Random numbers for tests that can be repeated.

use rand::{SeedableRng as _, rngs::StdRng};

/// A generator seeded at random. The seed is printed, so that a failed test shows it; `CYBERBRAIN_TEST_SEED`
/// takes it back.
///
/// # Panics
/// When `CYBERBRAIN_TEST_SEED` is not a number.
#[must_use]
pub fn seeded_rng(test: &str) -> StdRng {
    let seed = seed_from(std::env::var("CYBERBRAIN_TEST_SEED").ok().as_deref());
    eprintln!("{test}: CYBERBRAIN_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn seed_from(given: Option<&str>) -> u64 {
    match given {
        Some(text) => text.parse().expect("CYBERBRAIN_TEST_SEED is a number below 2^64"),
        None => rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::seed_from;

    #[test]
    fn a_given_seed_is_taken_and_others_differ() {
        assert_eq!(seed_from(Some("42")), 42);
        assert_ne!(seed_from(None), seed_from(None));
    }
}
