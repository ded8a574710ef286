//! The log of one container, kept in memory with a bound: the oldest lines go first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use cyberbrain_core::staging::LogStream;
use futures::{StreamExt, future, stream};
use tokio::sync::watch;

use crate::runtime::logs::{Follow, LineEnd, LogLine, LogLines, MAX_LINE_BYTES};

/// What one container may keep; an engine's log files are capped too.
const MAX_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// What a line costs beside its bytes.
const LINE_OVERHEAD: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    Closed,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Number of the first line that is still here, counted from the beginning of the log.
    first: u64,
}

/// Lines of both streams in the order of arrival. Clones are the same log.
#[derive(Debug, Clone)]
pub(in super::super) struct LogBuffer {
    lines: Arc<Mutex<Lines>>,
    /// Wakes followers; says whether more can come.
    changed: Arc<watch::Sender<Writing>>,
}

impl Default for LogBuffer {
    fn default() -> Self {
        Self { lines: Arc::default(), changed: Arc::new(watch::Sender::new(Writing::Open)) }
    }
}

impl LogBuffer {
    pub(in super::super) fn push(&self, stream: LogStream, bytes: Bytes, end: LineEnd) {
        {
            let mut log = self.lock();
            log.bytes += bytes.len() + LINE_OVERHEAD;
            log.lines.push_back(LogLine { at: Utc::now(), stream, bytes, end });
            while log.bytes > MAX_BUFFER_BYTES {
                let Some(oldest) = log.lines.pop_front() else { break };
                log.bytes -= oldest.bytes.len() + LINE_OVERHEAD;
                log.first += 1;
            }
        }
        self.changed.send_modify(|_| ());
    }

    /// No more lines will come; followers end after the last one.
    pub(in super::super) fn close(&self) {
        self.changed.send_replace(Writing::Closed);
    }

    pub(in super::super) fn read(&self, after: Option<DateTime<Utc>>, follow: Follow) -> LogLines {
        struct Reader {
            log: LogBuffer,
            changed: watch::Receiver<Writing>,
            next: u64,
        }
        let reader = Reader { log: self.clone(), changed: self.changed.subscribe(), next: 0 };
        stream::unfold(reader, move |mut reader| async move {
            loop {
                let writing = *reader.changed.borrow_and_update();
                if let Some((number, line)) = reader.log.line_from(reader.next) {
                    reader.next = number + 1;
                    return Some((Ok(line), reader));
                }
                let more = follow == Follow::Yes && writing == Writing::Open;
                if !more || reader.changed.changed().await.is_err() {
                    return None;
                }
            }
        })
        .filter(move |item| {
            let later = |line: &LogLine| after.is_none_or(|after| line.at > after);
            future::ready(item.as_ref().map_or(true, later))
        })
        .boxed()
    }

    /// The line with this number, or the oldest that is still here.
    fn line_from(&self, number: u64) -> Option<(u64, LogLine)> {
        let log = self.lock();
        let number = number.max(log.first);
        let line = log.lines.get(usize::try_from(number - log.first).ok()?)?;
        Some((number, line.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts what a process writes into lines of bounded length.
#[derive(Debug)]
pub(in super::super) struct LogWriter {
    log: LogBuffer,
    stream: LogStream,
    pending: Vec<u8>,
}

impl LogWriter {
    pub(in super::super) fn new(log: LogBuffer, stream: LogStream) -> Self {
        Self { log, stream, pending: Vec::new() }
    }

    pub(in super::super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.pending.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            if let Some(line_end) = window.iter().position(|byte| *byte == b'\n') {
                self.pending.extend_from_slice(&bytes[..line_end]);
                self.emit(LineEnd::Newline);
                bytes = &bytes[line_end + 1..];
            } else {
                let taken = bytes.len().min(room);
                self.pending.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                if self.pending.len() == MAX_LINE_BYTES && !bytes.is_empty() {
                    self.emit(LineEnd::Cut);
                }
            }
        }
    }

    /// What is left without a line break at the end.
    pub(in super::super) fn finish(mut self) {
        if !self.pending.is_empty() {
            self.emit(LineEnd::Cut);
        }
    }

    fn emit(&mut self, end: LineEnd) {
        let bytes = Bytes::from(std::mem::take(&mut self.pending));
        self.log.push(self.stream, bytes, end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(log: &LogBuffer) -> Vec<(Vec<u8>, LineEnd)> {
        let lines = futures::executor::block_on(log.read(None, Follow::No).collect::<Vec<_>>());
        lines.into_iter().map(|line| line.unwrap()).map(|line| (line.bytes.to_vec(), line.end)).collect()
    }

    proptest! {
        /// However the bytes arrive, the pieces put together are what was written.
        #[test]
        fn no_byte_is_lost(chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40),
                (0_usize..40_000).prop_map(|n| vec![b'x'; n]),
            ], 0..12)) {
            let log = LogBuffer::default();
            let mut writer = LogWriter::new(log.clone(), LogStream::Stdout);
            for chunk in &chunks {
                writer.write(chunk);
            }
            writer.finish();
            let mut joined = Vec::new();
            for (bytes, end) in collect(&log) {
                prop_assert!(bytes.len() <= MAX_LINE_BYTES);
                prop_assert!(!bytes.contains(&b'\n'));
                joined.extend(bytes);
                if end == LineEnd::Newline {
                    joined.push(b'\n');
                }
            }
            prop_assert_eq!(joined, chunks.concat());
        }
    }

    #[test]
    fn the_oldest_lines_go_first_and_memory_is_bounded() {
        let log = LogBuffer::default();
        let line = Bytes::from(vec![b'x'; MAX_LINE_BYTES]);
        for _ in 0..2_000 {
            log.push(LogStream::Stdout, line.clone(), LineEnd::Newline);
        }
        log.push(LogStream::Stdout, Bytes::from_static(b"last"), LineEnd::Newline);
        assert!(log.lock().bytes <= MAX_BUFFER_BYTES);
        assert_eq!(collect(&log).last().unwrap().0, b"last");
    }

    #[tokio::test]
    async fn a_follower_gets_what_comes_later_and_ends_with_the_log() {
        let log = LogBuffer::default();
        let mut lines = log.read(None, Follow::Yes);
        log.push(LogStream::Stderr, Bytes::from_static(b"one"), LineEnd::Newline);
        assert_eq!(lines.next().await.unwrap().unwrap().bytes.as_ref(), b"one");
        let later = log.clone();
        let pushed = tokio::spawn(async move {
            later.push(LogStream::Stderr, Bytes::from_static(b"two"), LineEnd::Newline);
            later.close();
        });
        assert_eq!(lines.next().await.unwrap().unwrap().bytes.as_ref(), b"two");
        assert!(lines.next().await.is_none());
        pushed.await.unwrap();
    }
}
