//! `logs/index.json` and the form of a staged log line.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{ContainerState, LastExit};
use crate::text_enum;

/// What was staged of whose logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIndex {
    pub sources: Vec<LogSource>,
    /// Containers that should have been read as well.
    #[serde(default)]
    pub left_out: LeftOut,
}

/// Most names of containers that are left out.
pub const MAX_LEFT_OUT_NAMES: usize = 20;

/// Containers for which there was no room or no time. Those that have not been read for longest come first the next time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub count: u64,
    /// Of the first ones, [`MAX_LEFT_OUT_NAMES`] at most.
    pub names: Vec<String>,
}

text_enum! {
    /// How far the reading of a log came.
    LogReading("reading of a log") {
        /// To its end.
        Complete = "complete",
        /// The engine failed, or it took too long: what follows is missing and is read the next time.
        BrokenOff = "broken_off",
        /// The engine gives out no log, because of the container's log driver for one.
        Unreadable = "unreadable",
    }
}

impl Default for LogReading {
    /// What an older launcher, which doesn't say it, did.
    fn default() -> Self {
        Self::Complete
    }
}

/// The staged log of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSource {
    /// The engine's container id.
    pub container_id: String,
    /// The container's name, without the engine's leading slash.
    pub name: String,
    pub image: String,
    /// Name of the host it runs on.
    pub host: String,
    /// Plain name of a file in the same folder as the index: no separators, no `..`.
    pub file: String,
    /// From when on lines were asked for; absent if from the beginning.
    pub since: Option<DateTime<Utc>>,
    /// The cutoff: taken before reading began, so that the next collection can go on from here.
    pub until: DateTime<Utc>,
    /// Size of the staged file.
    pub bytes: u64,
    /// What the size cap kept out of it: the oldest lines.
    pub dropped_bytes: u64,
    #[serde(default)]
    pub dropped_lines: u64,
    #[serde(default)]
    pub reading: LogReading,
    /// Absent if the launcher doesn't tell.
    #[serde(default)]
    pub state: Option<ContainerState>,
    /// How often the engine has started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// How it last ended; absent if it never did.
    #[serde(default)]
    pub last_exit: Option<LastExit>,
}

text_enum! {
    /// Which stream of its container a line came from.
    LogStream("log stream") {
        Stdout = "stdout",
        Stderr = "stderr",
    }
}

/// One line of a staged log: `<RFC 3339 time with nanoseconds> <stdout|stderr> <text>`.
///
/// [`parse_line`] reads what `Display` writes, as long as the text holds no line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    pub at: DateTime<Utc>,
    pub stream: LogStream,
    pub text: &'a str,
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Nanos, true);
        write!(f, "{at} {} {}", self.stream, self.text)
    }
}

/// Why a line of a staged log could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MalformedLine {
    /// It does not begin with an RFC 3339 time.
    Time,
    /// The time is not followed by `stdout` or `stderr`.
    Stream,
}

impl fmt::Display for MalformedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "the line does not begin with an RFC 3339 time",
            Self::Stream => "the time is not followed by stdout or stderr",
        })
    }
}

impl std::error::Error for MalformedLine {}

/// Reads one line, without its line break. An empty text may come with or without the blank before it.
///
/// # Errors
/// Says which part is missing.
pub fn parse_line(line: &str) -> Result<LogLine<'_>, MalformedLine> {
    let (time, rest) = line.split_once(' ').ok_or(MalformedLine::Time)?;
    let at = DateTime::parse_from_rfc3339(time).map_err(|_| MalformedLine::Time)?.with_timezone(&Utc);
    let (stream, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let stream = stream.parse().map_err(|_| MalformedLine::Stream)?;
    Ok(LogLine { at, stream, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_line_reads_back(seconds in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000, text in "[^\r\n]{0,80}") {
            let at = DateTime::from_timestamp(seconds, nanos).unwrap();
            for &stream in LogStream::ALL {
                let line = LogLine { at, stream, text: &text };
                let written = line.to_string();
                prop_assert_eq!(parse_line(&written).unwrap(), line);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,120}") {
            let _ = parse_line(&text);
        }
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(parse_line(""), Err(MalformedLine::Time));
        assert_eq!(parse_line("hello world"), Err(MalformedLine::Time));
        assert_eq!(parse_line("2026-01-01T00:00:00Z stdin x"), Err(MalformedLine::Stream));
        assert_eq!(parse_line("2026-01-01T00:00:00Z stdout").map(|l| l.text), Ok(""));
    }
}
