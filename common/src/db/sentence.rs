//! Sentences of ours, as long as their columns take them. They name hosts, cards and errors of engines, whose lengths nobody
//! promises: what is too long is cut, so that no change fails for its explanation.

/// Of a failure.
const DETAIL_CHARACTERS: usize = 1_000;
/// Of a choice of a place.
const REASON_CHARACTERS: usize = 2_000;
/// Of what is wrong with a card.
const HEALTH_CHARACTERS: usize = 500;

pub(super) fn detail(text: &str) -> String {
    cut(text, DETAIL_CHARACTERS)
}

pub(super) fn reason(text: &str) -> String {
    cut(text, REASON_CHARACTERS)
}

pub(super) fn health(text: &str) -> String {
    cut(text, HEALTH_CHARACTERS)
}

/// At most so many characters, the last one a mark if some are missing. NUL, which no column takes, is left out.
fn cut(text: &str, most: usize) -> String {
    let stored = || text.chars().filter(|character| *character != '\0');
    if stored().nth(most).is_none() {
        return stored().collect();
    }
    stored().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_cut_at_a_character() {
        assert_eq!(cut("", 3), "");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("a\0b", 2), "ab");
    }
}
