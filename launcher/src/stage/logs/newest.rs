//! `Newest`: a file that keeps the newest of what is written to it.
//!
//! What comes in is written to segments, and the oldest segment goes when there is too much. Guarantees that at most `cap`
//! bytes are kept and, once there was more, at least `cap` less one segment; and that what went is counted to the byte.
//! One segment is open at a time, and memory holds one buffer.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use tokio::{
    fs::File,
    io::{AsyncWriteExt as _, BufWriter},
};

/// Segments that a full file consists of.
const SEGMENTS: u64 = 8;

struct Segment {
    path: PathBuf,
    bytes: u64,
    lines: u64,
}

/// What became of the lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub bytes: u64,
    pub dropped_bytes: u64,
    pub dropped_lines: u64,
}

/// See above.
pub(super) struct Newest {
    path: PathBuf,
    cap: u64,
    /// The oldest first; the last one is being written.
    segments: VecDeque<Segment>,
    file: BufWriter<File>,
    /// Segments begun so far: names are not used twice.
    begun: u64,
    kept: Kept,
}

impl Newest {
    pub(super) async fn create(path: &Path, cap: u64) -> io::Result<Self> {
        let first = Segment { path: path.to_owned(), bytes: 0, lines: 0 };
        let file = BufWriter::new(File::create(path).await?);
        let segments = VecDeque::from([first]);
        Ok(Self { path: path.to_owned(), cap, segments, file, begun: 1, kept: Kept::default() })
    }

    /// Writes one line, with its line break. A line that is longer than everything that may be kept is dropped.
    pub(super) async fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if length > self.cap {
            self.kept.dropped_bytes += length;
            self.kept.dropped_lines += 1;
            return Ok(());
        }
        if self.segments.back().is_none_or(|last| last.bytes > 0 && last.bytes + length > self.cap / SEGMENTS)
        {
            self.begin().await?;
        }
        while self.kept.bytes + length > self.cap {
            self.forget_oldest().await?;
        }
        self.file.write_all(line).await?;
        let last = self.segments.back_mut().expect("a segment has been begun");
        last.bytes += length;
        last.lines += 1;
        self.kept.bytes += length;
        Ok(())
    }

    async fn begin(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        let path = self.path.with_extension(format!("{}.part", self.begun));
        self.begun += 1;
        self.file = BufWriter::new(File::create(&path).await?);
        self.segments.push_back(Segment { path, bytes: 0, lines: 0 });
        Ok(())
    }

    async fn forget_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.segments.pop_front() else { return Ok(()) };
        tokio::fs::remove_file(&oldest.path).await?;
        self.kept.bytes -= oldest.bytes;
        self.kept.dropped_bytes += oldest.bytes;
        self.kept.dropped_lines += oldest.lines;
        Ok(())
    }

    /// Puts what was kept into one file under the path.
    pub(super) async fn finish(mut self) -> io::Result<Kept> {
        self.file.flush().await?;
        let mut segments = self.segments.into_iter();
        let Some(first) = segments.next() else { return Ok(self.kept) };
        if first.path != self.path {
            tokio::fs::rename(&first.path, &self.path).await?;
        }
        let mut whole = File::options().append(true).open(&self.path).await?;
        for segment in segments {
            tokio::io::copy(&mut File::open(&segment.path).await?, &mut whole).await?;
            tokio::fs::remove_file(&segment.path).await?;
        }
        whole.flush().await?;
        Ok(self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of eight bytes each, numbered.
    async fn written(cap: u64, lines: u64) -> (Kept, Vec<String>, usize) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("000.log");
        let mut newest = Newest::create(&path, cap).await.unwrap();
        for n in 0..lines {
            newest.line(format!("{n:07}\n").as_bytes()).await.unwrap();
        }
        let kept = newest.finish().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let files = std::fs::read_dir(root.path()).unwrap().count();
        (kept, text.lines().map(str::to_owned).collect(), files)
    }

    #[tokio::test]
    async fn the_newest_lines_are_kept_and_the_dropped_ones_counted() {
        for (cap, lines) in
            [(800, 0), (800, 1), (800, 100), (800, 101), (800, 1_000), (64, 1_000), (8, 3), (15, 9)]
        {
            let (kept, text, files) = written(cap, lines).await;
            let newest = text.len() as u64;
            assert_eq!(files, 1, "{cap} {lines}");
            assert_eq!(kept.bytes, newest * 8, "{cap} {lines}");
            assert_eq!((kept.dropped_lines, kept.dropped_bytes), (lines - newest, (lines - newest) * 8));
            assert!(kept.bytes <= cap);
            if lines * 8 > cap {
                assert!(kept.bytes + cap / SEGMENTS + 8 > cap, "{cap} {lines}: only {} kept", kept.bytes);
            }
            let expected: Vec<String> = (lines - newest..lines).map(|n| format!("{n:07}")).collect();
            assert_eq!(text, expected, "{cap} {lines}");
        }
    }

    #[tokio::test]
    async fn a_line_that_can_never_fit_drops_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("000.log");
        let mut newest = Newest::create(&path, 10).await.unwrap();
        for line in ["short\n", "this one is far too long\n", "two\n"] {
            newest.line(line.as_bytes()).await.unwrap();
        }
        let kept = newest.finish().await.unwrap();
        assert_eq!(kept, Kept { bytes: 10, dropped_bytes: 25, dropped_lines: 1 });
        assert_eq!(std::fs::read_to_string(path).unwrap(), "short\ntwo\n");
    }
}
