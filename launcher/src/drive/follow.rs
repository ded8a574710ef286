//! Follows a container's output: into the log segment, into progress, and into a few signs of how it may end.
//!
//! Guarantees: memory is bounded by one burst; a broken stream is taken up again after the last line that was seen;
//! lines that were written before the end are there after [`Follower::finish`]. Nothing of the output is kept in
//! memory or sent to the database but progress, sanitised and redacted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cyberbrain_common::{db::supervision::Assignment, telemetry};
use cyberbrain_core::{
    ids::{AttemptId, Fence},
    outcome::{MAX_PROGRESS_LINE_BYTES, Progress, StdoutMessage, StdoutRecord},
    staging::LogStream,
};
use futures::StreamExt;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::segment::{Burst, Segment, last_line_at};
use crate::{
    agent::Agent,
    layout::AttemptDir,
    progress::ProgressSink,
    runtime::{ContainerName, Error, Follow, LineEnd, LogLine, LogRequest, LogSource, WorkerRuntime},
};

/// Longest time that a line waits in memory.
const BURST_PERIOD: Duration = Duration::from_millis(200);
/// Pause before a stream that ended or broke is asked for again.
const PAUSE: Duration = Duration::from_millis(500);
/// Lines that are taken at once, if so many are there.
const CHUNK_LINES: usize = 256;
/// What a line costs beside its bytes, for the quota.
const LINE_OVERHEAD: u64 = 16;
/// How long an abandoned follower may take to write its burst.
const ABANDON: Duration = Duration::from_secs(2);

/// Signs in the output of how a container may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signs {
    /// A GPU library said that memory ran out.
    pub gpu_memory_ran_out: bool,
    /// The engine's init could not execute the command.
    pub command_not_executed: bool,
}

/// What is left of a follower.
pub(super) struct Followed {
    pub signs: Signs,
}

/// A task that follows one container.
pub(super) struct Follower {
    task: JoinHandle<Signs>,
    /// The container has ended: read to the end of its log, then stop.
    ended: CancellationToken,
    abandoned: CancellationToken,
    over_quota: watch::Receiver<bool>,
    /// Pieces of lines that were read.
    seen: Arc<AtomicU64>,
}

impl Follower {
    pub(super) fn start(
        agent: &Arc<Agent>,
        job: &Assignment,
        dir: &AttemptDir,
        name: &ContainerName,
    ) -> Self {
        let (quota, over_quota) = watch::channel(false);
        let (ended, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let seen = Arc::new(AtomicU64::new(0));
        let reader = Reader {
            seen: Arc::clone(&seen),
            runtime: Arc::clone(&agent.runtime),
            name: name.clone(),
            attempt: job.attempt,
            fence: job.fence,
            has_gpus: !job.gpus.is_empty(),
            progress: Arc::clone(&agent.progress),
            quota_bytes: agent.limits.log_quota_bytes,
            quota,
            seen_bytes: 0,
            after: None,
            cut: false,
            signs: Signs::default(),
        };
        let work = reader.run(dir.clone(), agent.limits.kept_log_bytes, ended.clone(), abandoned.clone());
        Self { task: tokio::spawn(work), ended, abandoned, over_quota, seen }
    }

    /// Waits until the output has become too much. Pending for ever if it does not. Cancel-safe.
    pub(super) async fn over_quota(&mut self) {
        if self.over_quota.wait_for(|over| *over).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The container has ended: takes what is left of its output, as long as some arrives within `patience`.
    pub(super) async fn finish(mut self, patience: Duration) -> Followed {
        self.ended.cancel();
        let mut seen = None;
        loop {
            match timeout(patience, &mut self.task).await {
                Ok(signs) => return Followed { signs: signs.unwrap_or_default() },
                Err(_) => {
                    let now = self.seen.load(Ordering::Relaxed);
                    if seen.replace(now) == Some(now) {
                        tracing::warn!(
                            patience_s = patience.as_secs(),
                            "the last output did not arrive in time"
                        );
                        return self.abandon().await;
                    }
                }
            }
        }
    }

    /// Stops at once; what was received is written.
    pub(super) async fn abandon(mut self) -> Followed {
        self.abandoned.cancel();
        let signs = match timeout(ABANDON, &mut self.task).await {
            Ok(signs) => signs.unwrap_or_default(),
            Err(_) => {
                self.task.abort();
                Signs::default()
            }
        };
        Followed { signs }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.abandoned.cancel();
    }
}

struct Reader {
    seen: Arc<AtomicU64>,
    runtime: Arc<dyn WorkerRuntime>,
    name: ContainerName,
    attempt: AttemptId,
    fence: Fence,
    has_gpus: bool,
    progress: Arc<ProgressSink>,
    quota_bytes: u64,
    quota: watch::Sender<bool>,
    seen_bytes: u64,
    after: Option<chrono::DateTime<chrono::Utc>>,
    /// The last piece ended in the middle of a line.
    cut: bool,
    signs: Signs,
}

/// Why one pass over the stream ended.
enum Pass {
    /// No more lines, or the stream broke.
    Over,
    /// Nothing has that name any more.
    Gone,
    Abandoned,
}

impl Reader {
    async fn run(
        mut self,
        dir: AttemptDir,
        limit: u64,
        ended: CancellationToken,
        abandoned: CancellationToken,
    ) -> Signs {
        let mut segment = match self.open(&dir, limit).await {
            Ok(segment) => Some(segment),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the log segment can't be written; output is not kept"
                );
                None
            }
        };
        loop {
            // The pass that begins after the end reads what is there and no more.
            let last = ended.is_cancelled();
            let follow = if last { Follow::No } else { Follow::Yes };
            match self.pass(follow, &mut segment, &ended, &abandoned).await {
                Pass::Over if !last => {}
                Pass::Over | Pass::Gone | Pass::Abandoned => break,
            }
            tokio::select! {
                () = ended.cancelled() => {}
                () = abandoned.cancelled() => break,
                () = sleep(PAUSE) => {}
            }
        }
        if let Some(segment) = segment
            && let Err(error) = segment.close().await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the end of the log segment can't be written"
            );
        }
        self.signs
    }

    /// An adopter goes on after the last line on disk, in a segment of its own.
    async fn open(&mut self, dir: &AttemptDir, limit: u64) -> io::Result<Segment> {
        let (dir, fence) = (dir.clone(), self.fence);
        let opened = tokio::task::spawn_blocking(move || {
            let after = last_line_at(&dir)?;
            Ok((after, Segment::open(&dir, &dir.segment(fence), limit)?))
        });
        let (after, segment) = opened.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.after = after;
        Ok(segment)
    }

    async fn pass(
        &mut self,
        follow: Follow,
        segment: &mut Option<Segment>,
        ended: &CancellationToken,
        abandoned: &CancellationToken,
    ) -> Pass {
        let source = LogSource::Ours(self.name.clone());
        let lines = self.runtime.logs(LogRequest { source, after: self.after, follow });
        let mut lines = lines.ready_chunks(CHUNK_LINES);
        let mut due = Instant::now() + BURST_PERIOD;
        let mut quiet = true;
        loop {
            let lines = tokio::select! {
                biased;
                () = abandoned.cancelled() => {
                    self.write_burst(segment).await;
                    return Pass::Abandoned;
                }
                () = sleep_until(due) => {
                    self.write_burst(segment).await;
                    // A stream that has nothing left to say after the end is over, whether it knows or not.
                    if quiet && ended.is_cancelled() && follow == Follow::Yes {
                        return Pass::Over;
                    }
                    quiet = true;
                    due = Instant::now() + BURST_PERIOD;
                    continue;
                }
                lines = lines.next() => lines,
            };
            let Some(lines) = lines else {
                self.write_burst(segment).await;
                return Pass::Over;
            };
            quiet = false;
            self.seen.fetch_add(lines.len() as u64, Ordering::Relaxed);
            for line in lines {
                if let Some(end) = self.take(line, segment).await {
                    return end;
                }
            }
        }
    }

    /// Takes one piece of a line, or learns why there are no more.
    async fn take(&mut self, line: Result<LogLine, Error>, segment: &mut Option<Segment>) -> Option<Pass> {
        match line {
            Ok(line) => {
                self.note(&line);
                let full = segment.as_mut().map(|segment| segment.push(&line));
                if full == Some(Burst::Full) {
                    self.write_burst(segment).await;
                }
                None
            }
            Err(Error::NotFound { .. }) => {
                self.write_burst(segment).await;
                Some(Pass::Gone)
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the log stream broke, going on after its last line"
                );
                self.write_burst(segment).await;
                Some(Pass::Over)
            }
        }
    }

    async fn write_burst(&self, segment: &mut Option<Segment>) {
        let Some(open) = segment else { return };
        if let Err(error) = open.write_burst().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the log segment can't be written; further output is not kept"
            );
            *segment = None;
        }
    }

    fn note(&mut self, line: &LogLine) {
        let begins = !self.cut;
        self.cut = line.end == LineEnd::Cut;
        self.after = Some(line.at);
        self.seen_bytes += line.bytes.len() as u64 + LINE_OVERHEAD;
        if self.seen_bytes > self.quota_bytes {
            self.quota.send_if_modified(|over| !std::mem::replace(over, true));
        }
        if self.has_gpus && gpu_memory_ran_out(&line.bytes) {
            self.signs.gpu_memory_ran_out = true;
        }
        match line.stream {
            LogStream::Stderr => {
                self.signs.command_not_executed |= begins && line.bytes.starts_with(b"[FATAL tini");
            }
            LogStream::Stdout => {
                if begins
                    && !self.cut
                    && let Some(progress) = progress_of(&line.bytes)
                {
                    self.progress.put(self.attempt, self.fence, progress);
                }
            }
        }
    }
}

fn gpu_memory_ran_out(line: &[u8]) -> bool {
    const SAYINGS: [&[u8]; 3] =
        [b"CUDA out of memory", b"CUDA error: out of memory", b"cudaErrorMemoryAllocation"];
    SAYINGS.iter().any(|saying| line.windows(saying.len()).any(|part| part == *saying))
}

/// Progress, if the line is meant for us.
fn progress_of(line: &[u8]) -> Option<Progress> {
    if line.len() > MAX_PROGRESS_LINE_BYTES || !line.starts_with(b"{") {
        return None;
    }
    let record: StdoutRecord = serde_json::from_slice(line).ok()?;
    let StdoutMessage::Progress(progress) = record.cyberbrain;
    let stage = telemetry::redact(&progress.stage).into_owned();
    Some(Progress { stage, ..progress }.sanitised())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_lines_are_progress() {
        let line = br#"{"cyberbrain":{"progress":{"percent":42.0,"stage":"reading as sk-abcdefghijkl","done":1,"total":2,"unit":"items"}}}"#;
        let progress = progress_of(line).unwrap();
        assert_eq!(progress.percent, Some(42.0));
        assert_eq!(progress.stage, "reading as [redacted]");
        for other in [
            &b"hello"[..],
            b"{\"level\":\"info\"}",
            b" {\"cyberbrain\":{\"progress\":{}}}",
            b"{\"cyberbrain\":{\"command\":\"rm\"}}",
            &[b"{\"cyberbrain\":{\"progress\":{\"stage\":\"".to_vec(), vec![b'x'; 5_000], b"\"}}}".to_vec()]
                .concat(),
        ] {
            assert_eq!(progress_of(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn knows_the_sayings_of_gpu_libraries() {
        assert!(gpu_memory_ran_out(b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"));
        assert!(!gpu_memory_ran_out(b"out of memory"));
    }
}
