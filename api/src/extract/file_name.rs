//! What a client calls a file: text for people. No path is ever made of it.

use std::str::FromStr;

const MAX_BYTES: usize = 255;

/// A name that any file system would take as one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName(pub String);

impl FromStr for FileName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("it is empty"),
            "." | ".." => Err("it is a directory's"),
            _ if text.len() > MAX_BYTES => Err("it has more than 255 bytes"),
            _ if text.contains('/') => Err("it contains a slash: send the name without its directories"),
            _ if text.chars().any(char::is_control) => Err("it contains a control character"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        let long = "ü".repeat(127);
        for good in ["a", "access.log", "...", ".hidden", "a b ü \u{202e}gpj", "..\\x", long.as_str()] {
            assert_eq!(good.parse(), Ok(FileName(good.to_owned())));
        }
        let too_long = "ü".repeat(128);
        for bad in [
            "",
            ".",
            "..",
            "/",
            "a/b",
            "../x",
            "/etc/passwd",
            "a\0",
            "a\nb",
            "\u{7f}",
            "\u{85}",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }
}
