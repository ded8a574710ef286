//! One owner's part of a worker's output, as a file: lines of the staged-log form, up to a size.
//!
//! Lines are written in bursts; what a killed launcher had not written is still in the engine, and its successor goes
//! on after the last whole line that any segment has.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write as _},
    path::Path,
};

use chrono::{DateTime, SecondsFormat, Utc};
use cyberbrain_core::staging::{LogStream, parse_line};
use tokio::io::AsyncWriteExt;

use crate::{
    layout::AttemptDir,
    runtime::{LineEnd, LogLine},
};

/// What is gathered before it is written.
const BURST_BYTES: usize = 64 * 1024;
/// How much of a segment's end is searched for its last whole line: several of the longest pieces.
const TAIL_BYTES: u64 = 1024 * 1024;

/// A segment being written.
pub(super) struct Segment {
    file: tokio::fs::File,
    burst: Vec<u8>,
    /// What may still be kept.
    room: u64,
    dropped: u64,
    /// The stream whose line was cut and goes on in the next piece.
    cut: Option<LogStream>,
}

impl Segment {
    /// Opens the file, going on where it ends. `limit` is for all segments of the attempt together.
    pub(super) fn open(dir: &AttemptDir, path: &Path, limit: u64) -> io::Result<Self> {
        let kept: u64 = dir
            .segments()?
            .iter()
            .map(|(_, path)| std::fs::metadata(path).map_or(0, |metadata| metadata.len()))
            .sum();
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file: tokio::fs::File::from_std(file),
            burst: Vec::with_capacity(BURST_BYTES),
            room: limit.saturating_sub(kept),
            dropped: 0,
            cut: None,
        })
    }

    /// Takes one piece of a line. Write the burst when this says that it is full.
    pub(super) fn push(&mut self, line: &LogLine) -> Burst {
        let before = self.burst.len();
        if self.cut != Some(line.stream) {
            if self.cut.is_some() {
                self.burst.push(b'\n');
            }
            let at = line.at.to_rfc3339_opts(SecondsFormat::Nanos, true);
            // Writing to a Vec can't fail.
            let _ = write!(self.burst, "{at} {} ", line.stream);
        }
        self.burst.extend_from_slice(&line.bytes);
        self.cut = match line.end {
            LineEnd::Newline => {
                self.burst.push(b'\n');
                None
            }
            LineEnd::Cut => Some(line.stream),
        };
        let added = (self.burst.len() - before) as u64;
        if added > self.room {
            self.burst.truncate(before);
            self.cut = None;
            self.room = 0;
            self.dropped += line.bytes.len() as u64;
        } else {
            self.room -= added;
        }
        if self.burst.len() >= BURST_BYTES { Burst::Full } else { Burst::Growing }
    }

    /// Writes what was gathered.
    pub(super) async fn write_burst(&mut self) -> io::Result<()> {
        if !self.burst.is_empty() {
            self.file.write_all(&self.burst).await?;
            self.file.flush().await?;
            self.burst.clear();
        }
        Ok(())
    }

    /// Writes the rest, says what was left out, and puts it on the disk.
    pub(super) async fn close(mut self) -> io::Result<()> {
        if self.cut.is_some() {
            self.burst.push(b'\n');
        }
        if self.dropped > 0 {
            let at = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
            let _ =
                writeln!(self.burst, "{at} stderr [cyberbrain: {} more bytes were not kept]", self.dropped);
        }
        self.write_burst().await?;
        self.file.sync_data().await
    }
}

/// Whether a burst should be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Burst {
    Growing,
    Full,
}

/// The time of the last whole line that any owner has on disk.
pub(super) fn last_line_at(dir: &AttemptDir) -> io::Result<Option<DateTime<Utc>>> {
    let mut last = None;
    for (_, path) in dir.segments()? {
        last = last.max(last_whole_line(&path)?);
    }
    Ok(last)
}

fn last_whole_line(path: &Path) -> io::Result<Option<DateTime<Utc>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    Ok(tail[..end].rsplit(|byte| *byte == b'\n').find_map(|line| {
        // The text may be any bytes; the time and the stream before it are not.
        let head = String::from_utf8_lossy(&line[..line.len().min(64)]);
        parse_line(&head).ok().map(|line| line.at)
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cyberbrain_core::ids::Fence;

    use super::*;

    fn line(second: i64, stream: LogStream, text: &str, end: LineEnd) -> LogLine {
        let at = DateTime::from_timestamp(second, 5).unwrap();
        LogLine { at, stream, bytes: Bytes::copy_from_slice(text.as_bytes()), end }
    }

    async fn written(limit: u64, lines: &[LogLine]) -> (tempfile::TempDir, AttemptDir, String) {
        let root = tempfile::tempdir().unwrap();
        let dir = AttemptDir::at(root.path(), "a");
        std::fs::create_dir_all(dir.root()).unwrap();
        let path = dir.segment(Fence(1));
        let mut segment = Segment::open(&dir, &path, limit).unwrap();
        for line in lines {
            segment.push(line);
        }
        segment.close().await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        (root, dir, text)
    }

    #[tokio::test]
    async fn lines_are_whole_and_pieces_are_put_together() {
        use LineEnd::{Cut, Newline};
        use LogStream::{Stderr, Stdout};
        let (_root, dir, text) = written(
            10_000,
            &[
                line(1, Stdout, "one", Newline),
                line(2, Stdout, "two", Cut),
                line(2, Stdout, "-and-a-half", Newline),
                line(3, Stdout, "three", Cut),
                line(4, Stderr, "four", Newline),
            ],
        )
        .await;
        let texts: Vec<_> = text.lines().map(|line| parse_line(line).unwrap().text.to_owned()).collect();
        assert_eq!(texts, ["one", "two-and-a-half", "three", "four"]);
        assert_eq!(last_line_at(&dir).unwrap(), DateTime::from_timestamp(4, 5));
    }

    #[tokio::test]
    async fn what_is_too_much_is_counted_and_said() {
        let lines: Vec<_> =
            (0..100).map(|n| line(n, LogStream::Stdout, &"x".repeat(100), LineEnd::Newline)).collect();
        let (_root, _dir, text) = written(2_000, &lines).await;
        let kept = text.lines().filter(|line| line.ends_with("xxx")).count();
        assert!((10..15).contains(&kept), "{kept}");
        let left_out = (100 - kept) * 100;
        assert!(text.ends_with(&format!("[cyberbrain: {left_out} more bytes were not kept]\n")), "{text}");
    }

    #[tokio::test]
    async fn a_torn_last_line_does_not_count() {
        let (_root, dir, _) = written(
            10_000,
            &[
                line(1, LogStream::Stdout, "one", LineEnd::Newline),
                line(2, LogStream::Stdout, "two", LineEnd::Newline),
            ],
        )
        .await;
        let path = dir.segment(Fence(1));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();
        assert_eq!(last_line_at(&dir).unwrap(), DateTime::from_timestamp(1, 5));
    }
}
