//! Where an event ends: what `Last-Event-ID` brings back.

use std::{fmt, str::FromStr};

use cyberbrain_core::ids::Fence;

/// A place in the output of an attempt: `<attempt>.<owner>.<byte>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the attempt.
    pub attempt: i32,
    /// The owner whose segment it is in.
    pub fence: Fence,
    /// Where the next line begins.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.attempt, self.fence, self.offset)
    }
}

/// The text is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidPosition;

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no id of an event of this log; leave it out to begin at its start")
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(InvalidPosition);
        let attempt = part()?.parse().map_err(|_| InvalidPosition)?;
        let fence = part()?.parse().map_err(|_| InvalidPosition)?;
        let offset = part()?.parse().map_err(|_| InvalidPosition)?;
        let position = Self { attempt, fence: Fence(fence), offset };
        // One spelling only; and no file is half as long as an offset can be.
        let plain = attempt >= 1 && fence >= 1 && offset <= u64::MAX / 2 && position.to_string() == text;
        plain.then_some(position).ok_or(InvalidPosition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_nothing_else_is() {
        let position = Position { attempt: 2, fence: Fence(3), offset: 4_096 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in [
            "",
            "1",
            "1.1",
            "1.1.1.1",
            "0.1.1",
            "1.0.1",
            "-1.1.1",
            "1.1.-1",
            "01.1.1",
            "+1.1.1",
            "1.1.x",
            "1.1.18446744073709551615",
            "99999999999.1.1",
            "1.1.1 ",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(InvalidPosition), "{bad}");
        }
    }
}
