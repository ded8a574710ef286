//! Log lines of containers: what is asked for and what comes back.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use cyberbrain_core::staging;
use futures::stream::BoxStream;

use super::{
    error::Error,
    name::{ContainerId, ContainerName},
};

/// Longest piece of a line; longer lines come in several.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Whose logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A container of ours, under the name that our fence gives it.
    Ours(ContainerName),
    /// Any container of the engine; only reading is done by id.
    Any(ContainerId),
}

impl LogSource {
    /// What the engine is asked for.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ours(name) => name.as_str(),
            Self::Any(id) => id.as_str(),
        }
    }
}

/// Whether to wait for more lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// End after the last line that is there.
    No,
    /// Go on until the container has ended.
    Yes,
}

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    pub source: LogSource,
    /// Only lines strictly later; from the beginning if absent. Give the time of the last line that was
    /// stored to go on after it. The pieces of one long line share a time, so a resumption in the middle of
    /// such a line loses its rest.
    pub after: Option<DateTime<Utc>>,
    pub follow: Follow,
}

/// One line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine read it.
    pub at: DateTime<Utc>,
    pub stream: staging::LogStream,
    /// Without the line break; any bytes, at most [`MAX_LINE_BYTES`] and a little.
    pub bytes: Bytes,
    pub end: LineEnd,
}

/// How a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// With the line.
    Newline,
    /// In the middle of the line; the rest follows in the next piece of the same stream.
    Cut,
}

/// Lines in the order of the engine, pulled one by one: nothing is read ahead of the reader beyond one
/// buffer. It ends with the container (or the last line), or with one error.
pub type LogLines = BoxStream<'static, Result<LogLine, Error>>;
