//! Log lines from the engine's framed stream.

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use cyberbrain_core::staging::LogStream;
use futures::{StreamExt, future, stream};
use tokio::time::timeout;

use super::{DockerRuntime, READ, answer::Asked};
use crate::runtime::{
    error::{EngineCall, Error},
    logs::{Follow, LineEnd, LogLine, LogLines, LogRequest},
};

impl DockerRuntime {
    pub(super) fn log_lines(&self, request: &LogRequest) -> LogLines {
        // The engine's `since` has whole seconds in this client; the rest is done on the lines.
        let since = request.after.map_or(0, |after| i32::try_from(after.timestamp()).unwrap_or(i32::MAX));
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(request.follow == Follow::Yes)
            .since(since)
            .build();
        let subject = request.source.as_str().to_owned();
        let frames = self.docker.logs(&subject, Some(options)).boxed();
        let after = request.after;
        let wanted = move |line: &LogLine| after.is_none_or(|after| line.at > after);
        // A finished log is read at the engine's pace; one that is followed is silent as long as it likes.
        let follow = request.follow;
        stream::unfold(Some(frames), move |frames| {
            let subject = subject.clone();
            async move {
                let mut frames = frames?;
                let asked = Asked { call: EngineCall::Logs, subject: &subject };
                let next = match follow {
                    Follow::Yes => frames.next().await,
                    Follow::No => match timeout(READ, frames.next()).await {
                        Ok(next) => next,
                        Err(_) => return Some((Err(asked.timeout(READ)), None)),
                    },
                };
                match next? {
                    Ok(frame) => Some((line(frame, asked), Some(frames))),
                    Err(error) => Some((Err(asked.error(error)), None)),
                }
            }
        })
        .filter(move |item| future::ready(item.as_ref().map_or(true, &wanted)))
        .boxed()
    }
}

/// A frame is `<RFC 3339 time> <bytes>`; a line break at its end says that the line is whole.
fn line(frame: LogOutput, asked: Asked<'_>) -> Result<LogLine, Error> {
    let (stream, message) = match frame {
        LogOutput::StdErr { message } => (LogStream::Stderr, message),
        // A terminal has one stream only.
        LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
            (LogStream::Stdout, message)
        }
    };
    let (at, rest) = split_time(&message).ok_or_else(|| Error::Engine {
        call: asked.call,
        subject: asked.subject.to_owned(),
        status: 200,
        message: "a log line has no time".to_owned(),
    })?;
    let (bytes, end) = match rest.strip_suffix(b"\n") {
        Some(whole) => (whole.strip_suffix(b"\r").unwrap_or(whole), LineEnd::Newline),
        None => (rest, LineEnd::Cut),
    };
    Ok(LogLine { at, stream, bytes: message.slice_ref(bytes), end })
}

fn split_time(message: &Bytes) -> Option<(DateTime<Utc>, &[u8])> {
    let blank = message.iter().position(|byte| *byte == b' ')?;
    let at = DateTime::parse_from_rfc3339(std::str::from_utf8(&message[..blank]).ok()?).ok()?;
    Some((at.with_timezone(&Utc), &message[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8]) -> Result<LogLine, Error> {
        let asked = Asked { call: EngineCall::Logs, subject: "cb-1" };
        line(LogOutput::StdOut { message: Bytes::from_static(text) }, asked)
    }

    #[test]
    fn frames_become_lines() {
        let whole = read(b"2026-01-02T03:04:05.123456789Z hello \xff\n").unwrap();
        assert_eq!(whole.bytes.as_ref(), b"hello \xff");
        assert_eq!(whole.end, LineEnd::Newline);
        assert_eq!(whole.at.timestamp_subsec_nanos(), 123_456_789);
        let piece = read(b"2026-01-02T03:04:05Z hel").unwrap();
        assert_eq!((piece.bytes.as_ref(), piece.end), (&b"hel"[..], LineEnd::Cut));
        let empty = read(b"2026-01-02T03:04:05Z \n").unwrap();
        assert_eq!((empty.bytes.as_ref(), empty.end), (&b""[..], LineEnd::Newline));
        let terminal = read(b"2026-01-02T03:04:05Z hi\r\n").unwrap();
        assert_eq!(terminal.bytes.as_ref(), b"hi");
    }

    #[test]
    fn a_line_without_a_time_is_an_error() {
        for text in [&b"hello\n"[..], b"no time\n", b""] {
            assert_eq!(read(text).unwrap_err().code(), "engine");
        }
    }
}
