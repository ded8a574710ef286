//! Whole lines from the pieces in which an engine gives long ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::staging::LogStream;

use crate::runtime::{self, LineEnd};

/// A whole line, fit for a text file. Its time is that of its first piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub at: DateTime<Utc>,
    pub stream: LogStream,
    pub text: String,
}

/// Puts the pieces of long lines together, per stream, up to a bound.
#[derive(Default)]
pub(super) struct Pieces(BTreeMap<LogStream, (DateTime<Utc>, Vec<u8>)>);

impl Pieces {
    /// Longest line; the rest of a longer one is left out.
    pub(super) const MAX_BYTES: usize = 256 * 1024;

    pub(super) fn take(&mut self, piece: &runtime::LogLine) -> Option<Whole> {
        let (at, gathered) = self.0.entry(piece.stream).or_insert_with(|| (piece.at, Vec::new()));
        let room = Self::MAX_BYTES - gathered.len();
        gathered.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
        match piece.end {
            LineEnd::Cut => None,
            LineEnd::Newline => {
                let whole = whole(*at, piece.stream, gathered);
                self.0.remove(&piece.stream);
                Some(whole)
            }
        }
    }

    /// Lines that had not ended when the log did.
    pub(super) fn rest(self) -> impl Iterator<Item = Whole> {
        self.0.into_iter().map(|(stream, (at, gathered))| whole(at, stream, &gathered))
    }
}

fn whole(at: DateTime<Utc>, stream: LogStream, gathered: &[u8]) -> Whole {
    Whole { at, stream, text: String::from_utf8_lossy(gathered).replace(['\r', '\n'], " ") }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn piece(stream: LogStream, text: &str, end: LineEnd) -> runtime::LogLine {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        runtime::LogLine { at: DateTime::UNIX_EPOCH, stream, bytes, end }
    }

    #[test]
    fn pieces_of_two_streams_are_kept_apart() {
        let mut pieces = Pieces::default();
        assert!(pieces.take(&piece(LogStream::Stdout, "long ", LineEnd::Cut)).is_none());
        assert_eq!(pieces.take(&piece(LogStream::Stderr, "a\rb", LineEnd::Newline)).unwrap().text, "a b");
        assert_eq!(
            pieces.take(&piece(LogStream::Stdout, "line", LineEnd::Newline)).unwrap().text,
            "long line"
        );
        for _ in 0..40 {
            assert!(pieces.take(&piece(LogStream::Stdout, &"x".repeat(16_000), LineEnd::Cut)).is_none());
        }
        let whole = pieces.take(&piece(LogStream::Stdout, "end", LineEnd::Newline)).unwrap();
        assert_eq!(whole.text.len(), Pieces::MAX_BYTES);
    }

    #[test]
    fn a_line_that_never_ended_is_not_lost() {
        let mut pieces = Pieces::default();
        pieces.take(&piece(LogStream::Stderr, "panicked at", LineEnd::Cut));
        let rest: Vec<_> = pieces.rest().map(|whole| (whole.stream, whole.text)).collect();
        assert_eq!(rest, [(LogStream::Stderr, "panicked at".to_owned())]);
    }
}
