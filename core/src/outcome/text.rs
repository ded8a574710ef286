//! Cleaning of texts that come from workers: no control characters, no tricks with direction, bounded.

/// Longest text in a named field of a result, in characters.
pub const MAX_TEXT_CHARACTERS: usize = 200;
/// Longest stage of a progress message, in characters.
pub const MAX_STAGE_CHARACTERS: usize = 80;

/// Makes a text fit for a named field of a result: [`MAX_TEXT_CHARACTERS`] at most, see [`stage_text`].
#[must_use]
pub fn clean_text(text: &str) -> String {
    cleaned(text, MAX_TEXT_CHARACTERS)
}

/// Makes a worker's stage text fit to be stored and shown: control and direction characters are gone, runs
/// of white space are one blank, and it has [`MAX_STAGE_CHARACTERS`] at most (then ending in `…`).
#[must_use]
pub fn stage_text(text: &str) -> String {
    cleaned(text, MAX_STAGE_CHARACTERS)
}

/// Whether a character has no place in stored text: controls, and marks that are unseen or turn the text around.
pub(super) fn is_forbidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

fn cleaned(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace() {
            gap = true;
            continue;
        }
        if is_forbidden(character) {
            continue;
        }
        let needed = 1 + usize::from(gap && length > 0);
        if length + needed > limit {
            if length == limit {
                out.pop();
            }
            out.push('…');
            return out;
        }
        if needed == 2 {
            out.push(' ');
        }
        gap = false;
        out.push(character);
        length += needed;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strips_collapses_and_cuts() {
        let cases = [
            ("reading logs", "reading logs"),
            ("  reading\t\tlogs\n", "reading logs"),
            ("\u{1b}[31mred\u{1b}[0m", "[31mred[0m"),
            ("a\0b", "ab"),
            ("gnp.\u{202e}exe", "gnp.exe"),
            ("", ""),
        ];
        for (given, expected) in cases {
            assert_eq!(stage_text(given), expected, "for {given:?}");
        }
        assert_eq!(stage_text(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(stage_text(&"x".repeat(81)), format!("{}…", "x".repeat(79)));
        assert_eq!(stage_text(&format!("{} y", "x".repeat(79))), format!("{}…", "x".repeat(79)));
    }

    proptest! {
        #[test]
        fn a_cleaned_text_keeps_the_limits_and_stays_as_it_is(text in "(?s).{0,300}") {
            for (clean, limit) in [(stage_text as fn(&str) -> String, MAX_STAGE_CHARACTERS), (clean_text, MAX_TEXT_CHARACTERS)] {
                let once = clean(&text);
                prop_assert!(once.chars().count() <= limit);
                prop_assert!(!once.chars().any(is_forbidden));
                prop_assert_eq!(clean(&once), once);
            }
        }
    }
}
