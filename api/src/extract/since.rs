//! Cursors of lists that begin at the last success: they keep which success that was.
//!
//! A Run that succeeds between two pages would move the beginning, and rows would be skipped.

use std::{fmt, str::FromStr};

use cyberbrain_common::db::runs::{After, Success};

use super::{Cursor, cursor::InvalidCursor};

/// Stands for the success before the first one.
const NONE: &str = "none";

/// Where a page ended, and since when its list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SinceCursor {
    pub after: Cursor,
    /// `None`: no Run had succeeded.
    pub since: Option<Success>,
}

impl fmt::Display for SinceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.after, Self::suffix(self.since))
    }
}

impl SinceCursor {
    /// What follows the cursor proper.
    pub(crate) fn suffix(since: Option<Success>) -> String {
        since.map_or_else(
            || format!(".{NONE}"),
            |since| format!(".{}", Cursor::new(since.finished_at, since.run)),
        )
    }
}

impl FromStr for SinceCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (after, since) = text.split_once('.').ok_or(InvalidCursor)?;
        let success =
            |Cursor(After { created_at, id }): Cursor| Success { run: id.into(), finished_at: created_at };
        let since = if since == NONE { None } else { Some(success(since.parse()?)) };
        Ok(Self { after: after.parse()?, since })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn it_is_read_back_and_nothing_else_is() {
        let time = DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap();
        let after = Cursor::new(time, Uuid::now_v7());
        let success = Success { run: Uuid::now_v7().into(), finished_at: time };
        for since in [None, Some(success)] {
            let cursor = SinceCursor { after, since };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in [
            "",
            ".",
            "none",
            &after.to_string(),
            &format!("{after}."),
            &format!("{after}.None"),
            &format!("x.{after}"),
        ] {
            assert_eq!(bad.parse::<SinceCursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
