//! Names and fingerprints of templates: the same in every run, on every machine, in every version.
//!
//! A signature has one short hash per word and `***` for a variable one. From it a later run recognises a
//! template without the database ever holding a word of it.

/// What a variable word of a template is.
pub const WILDCARD: &str = "<*>";
/// Characters per word in a signature.
const WORD: usize = 3;
const VARIABLE: &str = "***";
/// The end of `key=value` whose value varies.
const VARIABLE_VALUE: &str = "=<*>";

/// Twelve hexadecimal digits that depend on the parts only.
pub fn id(parts: &[&str]) -> String {
    let mut hash = Fnv::new();
    for part in parts {
        hash.add(part.as_bytes());
        hash.add(&[0]);
    }
    format!("{:012x}", hash.0 >> 16)
}

/// The signature of a template's words.
pub fn signature<'a>(words: impl Iterator<Item = &'a str>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for word in words {
        if word == WILDCARD || word.ends_with(VARIABLE_VALUE) {
            out.push_str(VARIABLE);
            continue;
        }
        let hash = hash_of_shape(word);
        // The low bits of FNV are the good ones only after folding.
        let folded = hash ^ (hash >> 32) ^ (hash >> 18);
        for shift in [0, 6, 12] {
            out.push(char::from(ALPHABET[(folded >> shift) as usize & 63]));
        }
    }
    out
}

/// A hash of one word.
pub fn hash(word: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.add(word.as_bytes());
    hash.0
}

/// A hash of one word, where every mask (`<n>`, `<hex>`) counts as [`WILDCARD`]: which one it is depends on the value.
pub fn hash_of_shape(word: &str) -> u64 {
    let mut hash = Fnv::new();
    let mut rest = word;
    while let Some((start, end)) = mask_in(rest) {
        hash.add(&rest.as_bytes()[..start]);
        hash.add(WILDCARD.as_bytes());
        rest = &rest[end..];
    }
    hash.add(rest.as_bytes());
    hash.0
}

/// A word with every mask replaced by [`WILDCARD`].
pub fn shape(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((start, end)) = mask_in(rest) {
        out.push_str(&rest[..start]);
        out.push_str(WILDCARD);
        rest = &rest[end..];
    }
    out + rest
}

/// Where the first mask of a word is.
fn mask_in(word: &str) -> Option<(usize, usize)> {
    word.match_indices('<').find_map(|(start, _)| {
        let length = word[start + 1..].find(|c: char| !c.is_ascii_lowercase())?;
        let end = start + 1 + length;
        (length > 0 && word[end..].starts_with('>')).then_some((start, end + 1))
    })
}

/// Whether two signatures can be the same template: as long, no fixed word differs, and at least half of the
/// words are fixed in both.
pub fn matches(one: &str, other: &str) -> bool {
    if one.len() != other.len() || !one.is_ascii() || !other.is_ascii() {
        return false;
    }
    let mut fixed = 0;
    let mut words = 0;
    for at in (0..one.len()).step_by(WORD) {
        let end = (at + WORD).min(one.len());
        let (a, b) = (&one[at..end], &other[at..end]);
        words += 1;
        if a == VARIABLE || b == VARIABLE {
            continue;
        }
        if a != b {
            return false;
        }
        fixed += 1;
    }
    one == other || 2 * fixed >= words
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        signature(text.split(' '))
    }

    #[test]
    fn stays_the_same_in_every_version() {
        // A change here makes every template of every installation new once.
        assert_eq!(id(&["error", "disk full"]), id(&["error", "disk full"]));
        assert_ne!(id(&["ab", "c"]), id(&["a", "bc"]));
        assert_eq!(id(&["abc"]), "fc17bb83ee07");
        assert_eq!(of("user <*> logged in"), "cjc***Bzpu7p");
    }

    #[test]
    fn masks_are_alike_and_other_words_in_brackets_are_not() {
        for (word, expected) in [
            ("app.<hex>.js", "app.<*>.js"),
            ("<n>x<n>", "<*>x<*>"),
            ("<*>", "<*>"),
            ("a<b", "a<b"),
            ("<>", "<>"),
            ("<<n>>", "<<*>>"),
            ("<N>", "<N>"),
            ("ü<ip>", "ü<*>"),
            ("plain", "plain"),
        ] {
            assert_eq!(shape(word), expected);
            assert_eq!(hash_of_shape(word), hash(expected), "{word}");
        }
        assert_eq!(of("read app.<hex>.js"), of("read app.<*>.js"));
    }

    #[test]
    fn a_more_general_template_is_the_same_one() {
        let general = of("user <*> logged in");
        for (text, same) in [
            ("user <*> logged in", true),
            ("user alice logged in", true),
            ("user alice logged out", false),
            ("user alice logged in twice", false),
            ("<*> <*> <*> in", false),
            ("", false),
        ] {
            assert_eq!(matches(&general, &of(text)), same, "for {text:?}");
            assert_eq!(matches(&of(text), &general), same, "for {text:?}, the other way");
        }
        assert!(matches(&of("<*>"), &of("<*>")), "what is equal matches");
        assert!(!matches("äää***", "abc***"), "a foreign signature is no match and no panic");
    }
}
