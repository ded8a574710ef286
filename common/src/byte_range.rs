//! `Range: bytes=…` (RFC 9110, §14): one range, or the whole.
//!
//! What can't be read, or asks for several ranges, counts as no range, as the standard allows. Deliberately absent:
//! `multipart/byteranges`.

/// A part of a representation, in bytes; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    /// Inclusive.
    pub last: u64,
}

/// What a header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    Part(ByteRange),
    /// Nothing of what is there.
    Unsatisfiable,
}

impl ByteRange {
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of `Range`.
    #[must_use]
    pub fn header(self) -> String {
        format!("bytes={}-{}", self.first, self.last)
    }

    /// The value of `Content-Range` for a whole of `size` bytes.
    #[must_use]
    pub fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// Reads the header's value for a whole of `size` bytes.
#[must_use]
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header.and_then(parse) else { return Wanted::Whole };
    let end = size.saturating_sub(1);
    let range = match (first, last) {
        (Some(first), Some(last)) if first > last => return Wanted::Whole,
        (Some(first), last) => ByteRange { first, last: last.unwrap_or(end).min(end) },
        (None, Some(0)) => return Wanted::Unsatisfiable,
        (None, Some(suffix)) => ByteRange { first: size.saturating_sub(suffix), last: end },
        (None, None) => return Wanted::Whole,
    };
    if range.first >= size { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

fn parse(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    Some((number(first)?, number(last)?))
}

/// `Some(None)` for an empty text. More digits than fit count as the largest number.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_all_else_is_the_whole() {
        let part = |first, last| Wanted::Part(ByteRange { first, last });
        let cases = [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-5", part(2, 5)),
            ("bytes=2-", part(2, 9)),
            ("bytes=2-99999999999999999999999", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("Bytes= 1-2", part(1, 2)),
            ("bytes=9-", part(9, 9)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(wanted(Some(header), 0), Wanted::Unsatisfiable, "{header} of nothing");
        }
        let range = ByteRange { first: 2, last: 5 };
        assert_eq!((range.len(), range.content_range(10).as_str()), (4, "bytes 2-5/10"));
        assert_eq!(wanted(Some(&range.header()), 10), Wanted::Part(range));
    }
}
