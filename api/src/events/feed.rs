//! The feed: one reader of the trail per process, while anybody listens.
//!
//! It looks on an interval. A NOTIFY would come too early: a row becomes readable when the transactions before it have ended,
//! not when its own commits. Bounded: streams that are slower than the channel's capacity read from the database instead.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cyberbrain_common::{
    db::{
        self, Pool,
        events::{self, Event, Of, Position},
    },
    wake::Backoff,
};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::views::EventView;

/// Between two looks at the trail.
const POLL: Duration = Duration::from_millis(250);
/// What is read at once.
const PAGE: u32 = 500;
/// Batches that wait for the slowest stream; one that is slower still misses them and reads them itself.
const BATCHES: usize = 64;
/// The longest that one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub event: Event,
    pub text: Bytes,
}

impl Shown {
    pub(super) fn new(event: Event) -> Self {
        let data = serde_json::to_string(&EventView::from(&event))
            .expect("an event serializes: it has text keys only");
        let text = Bytes::from(format!("id: {}\nevent: audit\ndata: {data}\n\n", event.position));
        Self { event, text }
    }
}

/// All events after `from`, up to and with `to`.
#[derive(Debug)]
pub(super) struct Batch {
    pub from: Position,
    pub to: Position,
    pub events: Vec<Shown>,
}

/// What streams subscribe to. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    stopping: CancellationToken,
    /// There while the reader runs.
    batches: Mutex<Option<broadcast::Sender<Arc<Batch>>>>,
}

impl Feed {
    pub(crate) fn new(pool: Pool, stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner { pool, stopping, batches: Mutex::default() }))
    }

    /// What is found from now on. The first batch may be empty: it says where the reader began.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Batch>> {
        let mut batches = self.0.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batches) = &*batches {
            return batches.subscribe();
        }
        let (sender, receiver) = broadcast::channel(BATCHES);
        *batches = Some(sender.clone());
        tokio::spawn(Arc::clone(&self.0).read(sender));
        receiver
    }
}

impl Inner {
    async fn read(self: Arc<Self>, batches: broadcast::Sender<Arc<Batch>>) {
        let mut backoff = Backoff::new(POLL, Duration::from_secs(5));
        let mut at = None;
        while !self.has_ended(&batches) {
            let pause = match self.look(at).await {
                Ok(batch) => {
                    backoff.reset();
                    let full = batch.events.len() >= PAGE as usize;
                    if at.is_none() || !batch.events.is_empty() {
                        at = Some(batch.to);
                        // Nobody may be left; the next round finds that out.
                        let _ = batches.send(Arc::new(batch));
                    }
                    if full { Duration::ZERO } else { POLL }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "events can't be read; trying again"
                    );
                    backoff.next_pause()
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Whether the reader is to end. Says so under the lock, so that whoever subscribes next begins another.
    fn has_ended(&self, sender: &broadcast::Sender<Arc<Batch>>) -> bool {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.stopping.is_cancelled() || sender.receiver_count() == 0;
        if ended {
            *batches = None;
        }
        ended
    }

    /// What follows `at`; without a place only where the trail ends now.
    async fn look(&self, at: Option<Position>) -> Result<Batch, db::Error> {
        let look = async {
            let mut connection = self.pool.acquire().await?;
            let Some(from) = at else {
                let end = events::end(&mut connection).await?;
                return Ok(Batch { from: end, to: end, events: Vec::new() });
            };
            let found = events::after(&mut connection, Of::Everything, from, PAGE).await?;
            let to = found.last().map_or(from, |event| event.position);
            Ok(Batch { from, to, events: found.into_iter().map(Shown::new).collect() })
        };
        timeout(LOOK_TIMEOUT, look).await.unwrap_or(Err(db::Error::Unreachable(sqlx::Error::PoolTimedOut)))
    }
}
