use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use cyberbrain_core::staging::{LogStream, parse_line};
use futures::stream;

use super::*;
use crate::runtime::{EngineCall, LineEnd};

/// Nanoseconds after some instant.
fn at(nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(1_700_000_000_000_000_000 + nanos)
}

fn piece(
    nanos: i64,
    stream: LogStream,
    text: &str,
    end: LineEnd,
) -> Result<runtime::LogLine, runtime::Error> {
    Ok(runtime::LogLine { at: at(nanos), stream, bytes: Bytes::copy_from_slice(text.as_bytes()), end })
}

fn out(nanos: i64, text: &str) -> Result<runtime::LogLine, runtime::Error> {
    piece(nanos, LogStream::Stdout, text, LineEnd::Newline)
}

fn refused() -> Result<runtime::LogLine, runtime::Error> {
    Err(runtime::Error::Refused { call: EngineCall::Logs, subject: "web".into(), why: "no".into() })
}

/// What is staged of these pieces, of a window of nanoseconds.
async fn staged(
    pieces: Vec<Result<runtime::LogLine, runtime::Error>>,
    (from, to): (i64, i64),
    cap: u64,
) -> Option<(LogReading, Kept, Vec<String>)> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("000.log");
    let target = Target { path: &path, cap, window: Window { from: at(from), to: at(to) } };
    let deadline = Instant::now() + Duration::from_secs(60);
    let copied = read(stream::iter(pieces).boxed(), &target, deadline).await.unwrap()?;
    let text = std::fs::read_to_string(&path).unwrap();
    let texts = text.lines().map(|line| parse_line(line).unwrap().text.to_owned()).collect();
    Some((copied.reading, copied.kept, texts))
}

#[tokio::test]
async fn the_window_is_half_open_to_the_nanosecond() {
    let lines = (0..6).map(|n| out(n, &n.to_string())).collect();
    let (reading, _, texts) = staged(lines, (1, 4), 1_000).await.unwrap();
    assert_eq!((reading, texts), (LogReading::Complete, ["1", "2", "3"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_line_stamped_after_the_cutoff_does_not_end_the_reading() {
    let lines =
        vec![out(1, "a"), piece(9, LogStream::Stderr, "later", LineEnd::Newline), out(2, "b"), out(3, "c")];
    assert_eq!(staged(lines, (0, 5), 1_000).await.unwrap().2, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_log_that_breaks_off_keeps_what_was_read_and_says_so() {
    let (reading, _, texts) = staged(vec![out(1, "a"), refused(), out(2, "b")], (0, 5), 1_000).await.unwrap();
    assert_eq!((reading, texts), (LogReading::BrokenOff, vec!["a".to_owned()]));
    let (reading, _, texts) = staged(vec![refused()], (0, 5), 1_000).await.unwrap();
    assert_eq!((reading, texts), (LogReading::Unreadable, Vec::new()), "no log to be had");
    let gone = Err(runtime::Error::NotFound { call: EngineCall::Logs, subject: "web".into() });
    assert!(staged(vec![out(1, "a"), gone], (0, 5), 1_000).await.is_none());
}

#[tokio::test]
async fn a_reading_that_takes_too_long_breaks_off() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("000.log");
    let target = Target { path: &path, cap: 1_000, window: Window { from: at(0), to: at(9) } };
    let stalled = stream::iter([out(1, "a")]).chain(stream::pending()).boxed();
    let deadline = Instant::now() + Duration::from_millis(50);
    let copied = read(stalled, &target, deadline).await.unwrap().unwrap();
    assert_eq!(copied.reading, LogReading::BrokenOff);
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("stdout a\n"));
}

#[tokio::test]
async fn a_long_line_belongs_to_the_window_in_which_it_began() {
    let lines = || {
        vec![
            piece(1, LogStream::Stdout, "begun ", LineEnd::Cut),
            piece(2, LogStream::Stderr, "other", LineEnd::Newline),
            piece(5, LogStream::Stdout, "and ended", LineEnd::Newline),
            out(6, "next"),
        ]
    };
    assert_eq!(staged(lines(), (0, 4), 1_000).await.unwrap().2, ["other", "begun and ended"]);
    assert_eq!(staged(lines(), (4, 9), 1_000).await.unwrap().2, ["next"], "and to no other");
    let unended = vec![out(1, "a"), piece(2, LogStream::Stderr, "killed in the mid", LineEnd::Cut)];
    assert_eq!(staged(unended, (0, 4), 1_000).await.unwrap().2, ["a", "killed in the mid"]);
}

#[tokio::test]
async fn of_too_much_the_newest_is_staged_and_the_rest_counted() {
    let lines = (0..1_000).map(|n| out(n, &format!("{n:04}"))).collect();
    let (reading, kept, texts) = staged(lines, (0, 1_000), 4_200).await.unwrap();
    assert_eq!(reading, LogReading::Complete);
    assert_eq!(texts.last().map(String::as_str), Some("0999"));
    assert_eq!(texts.len() as u64 + kept.dropped_lines, 1_000);
    // 30 bytes of time, a blank, the stream, a blank, the text, the line break.
    assert_eq!((kept.bytes, kept.dropped_bytes), (43 * texts.len() as u64, 43 * kept.dropped_lines));
    assert!((84..=97).contains(&texts.len()), "{}", texts.len());
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// How long a log the other process stages.
const MIB: &str = "CYBERBRAIN_TEST_STAGED_MIB";

/// In a process of its own: what others hold at the same time is not counted.
#[test]
fn a_log_of_many_mebibytes_passes_through_little_memory() {
    let mib = std::env::var(MIB).unwrap_or_else(|_| "64".to_owned());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "stage::logs::copy::tests::staging_process", "--nocapture"])
        .env(MIB, mib)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let grown = said.lines().find_map(|line| line.split_once("GROWN ")).expect("it says by how much").1;
    println!("grown by {grown} bytes");
    assert!(grown.parse::<u64>().unwrap() < 16 << 20, "grown by {grown} bytes");
}

/// Not a test: the body of the one above.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn staging_process() {
    let Ok(mib) = std::env::var(MIB) else { return };
    let mib: u64 = mib.parse().unwrap();
    let count = i64::try_from(mib * 1_024).unwrap();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("000.log");
    // Some of it has no room: segments are begun and forgotten.
    let target =
        Target { path: &path, cap: (mib << 20) * 3 / 4, window: Window { from: at(0), to: at(count) } };
    let text = "x".repeat(1_000);
    let begin = resident();
    let most = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = most.clone();
    let lines = stream::iter((0..count).map(move |n| {
        if n % 1_024 == 0 {
            seen.fetch_max(resident(), std::sync::atomic::Ordering::Relaxed);
        }
        out(n, &text)
    }));
    let deadline = Instant::now() + Duration::from_secs(120);
    let copied = read(lines.boxed(), &target, deadline).await.unwrap().unwrap();
    assert_eq!(copied.reading, LogReading::Complete);
    assert!(copied.kept.bytes + copied.kept.dropped_bytes > mib << 20);
    let most = most.load(std::sync::atomic::Ordering::Relaxed).max(resident());
    println!("GROWN {}", most.saturating_sub(begin));
}
