//! Cursors: where a page ended, as an opaque text.
//!
//! They hold the sort key of the last row, so that rows that come in later move nothing: a page never repeats or
//! skips a row because of them.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike as _, Utc};
use cyberbrain_common::db::runs::After;
use uuid::Uuid;

/// The form of the bytes. A cursor of another form is refused.
const FORM: u8 = 1;
const BYTES: usize = 1 + 8 + 16;

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor(pub After);

impl Cursor {
    pub(crate) fn new(created_at: DateTime<Utc>, id: impl Into<Uuid>) -> Self {
        Self(After { created_at, id: id.into() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(FORM);
        bytes.extend(self.0.created_at.timestamp_micros().to_be_bytes());
        bytes.extend(self.0.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidCursor;

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no next_cursor of an earlier answer; leave it out to begin")
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| InvalidCursor)?;
        let [FORM, rest @ ..] = bytes else { return Err(InvalidCursor) };
        let (micros, id) = rest.split_at(8);
        let micros = i64::from_be_bytes(micros.try_into().map_err(|_| InvalidCursor)?);
        let created_at = DateTime::from_timestamp_micros(micros)
            .filter(|time| (1_970..=9_999).contains(&time.year()))
            .ok_or(InvalidCursor)?;
        let id = Uuid::from_slice(id).map_err(|_| InvalidCursor)?;
        Ok(Self(After { created_at, id }))
    }
}

/// The form of a cursor that holds a name.
const NAME_FORM: u8 = 2;
/// No name that we list has more.
const MAX_NAME_BYTES: usize = 1_024;

/// Where a page ended that is sorted by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameCursor(pub String);

impl fmt::Display for NameCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode([&[NAME_FORM], self.0.as_bytes()].concat()))
    }
}

impl FromStr for NameCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let [NAME_FORM, name @ ..] = &bytes[..] else { return Err(InvalidCursor) };
        let name = std::str::from_utf8(name).map_err(|_| InvalidCursor)?;
        let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        if fits { Ok(Self(name.to_owned())) } else { Err(InvalidCursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_name_is_read_back_and_nothing_else_is() {
        let cursor = NameCursor("web-1".into());
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let time = Cursor::new(DateTime::UNIX_EPOCH, Uuid::nil()).to_string();
        let nul = NameCursor("a\0".into()).to_string();
        let long = NameCursor("x".repeat(1_025)).to_string();
        for bad in ["", "Ag", "%", "Av8", &time, &nul, &long] {
            assert_eq!(bad.parse::<NameCursor>(), Err(InvalidCursor), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let time = DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap();
        let cursor = Cursor::new(time, Uuid::now_v7());
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        let other_form = {
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            bytes[0] = 2;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        let far = Cursor::new(DateTime::<Utc>::MAX_UTC, Uuid::nil()).to_string();
        for bad in ["", "x", "%%%", &text[1..], &format!("{text}AAAA"), &other_form, &far] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
