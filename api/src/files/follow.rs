//! `Follow`: the output of an attempt as it comes in, as server-sent events.
//!
//! Guarantees that every line comes once and in order, over all owners of the attempt; that each event's id says where
//! the next one begins, so that `Last-Event-ID` goes on there; and that `end` comes after the last line, never before.
//! Reads by polling: what it holds is bounded, and a client that is gone costs nothing.

mod position;
mod text;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cyberbrain_common::{
    byte_range::ByteRange,
    db::worker_logs::{self, LoggedAttempt},
    file_token::Purpose,
};
use cyberbrain_core::ids::Fence;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

pub(crate) use position::Position;

use self::text::Text;
use super::{
    remote::{self, Reading, Remote},
    segments,
};
use crate::{app::App, problem::Problem};

/// Between two looks at a file that has not grown.
const POLL: Duration = Duration::from_secs(1);
/// A comment after this long without a line, so that no proxy takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long host or database may be out of reach before the stream ends; clients then ask again.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read at once.
const CHUNK_BYTES: u64 = 256 * 1024;

/// An attempt's output that is being followed.
pub(crate) struct Follow {
    app: App,
    attempt: LoggedAttempt,
    remote: Remote,
    /// The owner whose segment is read.
    fence: Fence,
    text: Text,
    known: Known,
    last_sent: Instant,
    in_trouble_since: Option<Instant>,
    _slot: OwnedSemaphorePermit,
}

/// What was learnt before the segment was last read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its owner may write more.
    Open,
    /// A later owner has begun, so that this one's lines are all there.
    Succeeded(Fence),
    /// The attempt is over, and there is no later segment.
    Over,
}

/// What one step gives.
enum Step {
    Events(Bytes),
    /// Something changed; the next step may give more.
    Again,
    Wait,
    End,
    GiveUp,
}

/// What a look at the file gives.
enum Look {
    Grown,
    Same,
}

impl Follow {
    /// Begins at a position of this attempt. Looks once, so that whoever can't be served hears it before the stream.
    ///
    /// # Errors
    /// `host-unreachable`.
    pub(crate) async fn begin(
        app: App,
        attempt: LoggedAttempt,
        remote: Remote,
        at: Position,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, Problem> {
        let mut follow = Self {
            app,
            text: Text::new(attempt.number, at.fence, at.offset),
            fence: at.fence,
            attempt,
            remote,
            known: Known::Open,
            last_sent: Instant::now(),
            in_trouble_since: None,
            _slot: slot,
        };
        follow.look().await?;
        Ok(follow)
    }

    /// The events.
    pub(crate) fn into_body(self) -> Body {
        let hello = stream::once(async { Bytes::from_static(b"retry: 2000\n\n") });
        let events = stream::unfold(Some(self), |follow| async move { follow?.next().await });
        Body::from_stream(hello.chain(events).map(Ok::<_, std::convert::Infallible>))
    }

    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            if self.app.is_stopping() {
                return None;
            }
            match self.step().await {
                Step::Events(events) => {
                    self.last_sent = Instant::now();
                    return Some((events, Some(self)));
                }
                Step::Again => {}
                Step::End => {
                    let told = json!({ "attempt": self.attempt.number, "state": self.attempt.state });
                    return Some((Bytes::from(format!("event: end\ndata: {told}\n\n")), None));
                }
                Step::GiveUp => return None,
                Step::Wait => {
                    if self.last_sent.elapsed() >= KEEP_ALIVE {
                        self.last_sent = Instant::now();
                        return Some((Bytes::from_static(b": nothing new\n\n"), Some(self)));
                    }
                    tokio::select! {
                        () = sleep(POLL) => {}
                        () = self.app.stopping() => return None,
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Step {
        if let Some(events) = self.text.take_lines() {
            return Step::Events(events);
        }
        match self.look().await {
            Ok(Look::Grown) => {
                self.in_trouble_since = None;
                return Step::Again;
            }
            Ok(Look::Same) => {}
            Err(problem) => return self.trouble(&problem).await,
        }
        match self.known {
            Known::Open => match self.learn().await {
                Ok(Known::Open) => {
                    self.in_trouble_since = None;
                    Step::Wait
                }
                // What was written up to now is read first.
                Ok(known) => {
                    self.known = known;
                    Step::Again
                }
                Err(problem) => self.trouble(&problem).await,
            },
            Known::Succeeded(fence) => match self.text.take_rest() {
                Some(events) => Step::Events(events),
                None => {
                    (self.fence, self.known) = (fence, Known::Open);
                    self.text = Text::new(self.attempt.number, fence, 0);
                    Step::Again
                }
            },
            Known::Over => self.text.take_rest().map_or(Step::End, Step::Events),
        }
    }

    /// Reads what the segment has beyond what is known.
    async fn look(&mut self) -> Result<Look, Problem> {
        let first = self.text.read_up_to();
        let range = ByteRange { first, last: first.saturating_add(CHUNK_BYTES - 1) };
        let path = segments::path(&self.attempt, self.fence);
        let reading = self.remote.read(&path, Purpose::Log, Some(range)).await?;
        let Reading::Bytes { body, .. } = reading else { return Ok(Look::Same) };
        let mut chunks = std::pin::pin!(remote::bytes(body));
        let mut grown = Look::Same;
        while let Some(chunk) = chunks.next().await {
            // What came before the break is good; the rest is read the next time.
            let Ok(chunk) = chunk else { break };
            self.text.push(&chunk);
            grown = Look::Grown;
        }
        Ok(grown)
    }

    /// Asks the database, and the host for a later segment.
    async fn learn(&mut self) -> Result<Known, Problem> {
        let mut connection = self.app.connection().await?;
        let (run_job, number) = (self.attempt.run_job, Some(self.attempt.number));
        if let Some(attempt) = worker_logs::find(&mut connection, run_job, number).await? {
            self.attempt = attempt;
        }
        self.remote = Remote::of_host(&mut connection, self.attempt.host, self.attempt.root).await?;
        drop(connection);
        for fence in self.fence.0.saturating_add(1)..=self.attempt.fence.0 {
            if segments::size(&self.remote, &self.attempt, Fence(fence)).await?.is_some() {
                return Ok(Known::Succeeded(Fence(fence)));
            }
        }
        Ok(if self.attempt.state.is_open() { Known::Open } else { Known::Over })
    }

    /// Waits for what is out of reach, for a while; a launcher that was started anew has another address.
    async fn trouble(&mut self, problem: &Problem) -> Step {
        let since = *self.in_trouble_since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            tracing::warn!(run_job.id = %self.attempt.run_job, problem.detail, "a followed log is out of reach");
            return Step::GiveUp;
        }
        if let Ok(mut connection) = self.app.connection().await
            && let Ok(remote) = Remote::of_host(&mut connection, self.attempt.host, self.attempt.root).await
        {
            self.remote = remote;
        }
        Step::Wait
    }
}
