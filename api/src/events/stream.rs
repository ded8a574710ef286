//! One client's stream: what it lacks from the database, then what the feed finds.
//!
//! A batch of the feed is taken only where it joins what was sent; where it does not (the feed began later, or this client
//! was too slow for it) the database is read again from the last event that was sent.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use cyberbrain_common::{
    db::{
        self, api_keys,
        events::{self, Of, Position},
    },
    keys::Principal,
};
use futures::{StreamExt as _, stream};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{self, error::RecvError},
    },
    time::{Instant, sleep_until},
};

use super::feed::{Batch, Shown};
use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// Between two comments, which keep proxies from taking the connection for dead; the key is looked at as often.
const BEAT: Duration = Duration::from_secs(15);
/// A stream ends after this long, so that whoever listens shows their key or session again.
const LIFE: Duration = Duration::from_secs(60 * 60);
/// What is read from the database at once.
const PAGE: u32 = 200;

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what comes from now on.
    Now,
    /// After this place, which may be the beginning.
    After(Position),
}

/// An open stream.
pub(crate) struct Stream {
    app: App,
    of: Of,
    /// Who listens; a key that is revoked ends the stream.
    principal: Principal,
    batches: broadcast::Receiver<Arc<Batch>>,
    /// All up to here was sent, as far as it was asked for.
    at: Position,
    lacks: Lacks,
    next_beat: Instant,
    ends: Instant,
    _slot: OwnedSemaphorePermit,
}

/// What is to be done before the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    /// Read the database; it has all up to this place at least.
    UpTo(Position),
}

impl Stream {
    /// Makes ready to send. The feed is listened to first, so that nothing can come in between it and the database.
    ///
    /// # Errors
    /// `cursor-gone`, or a problem of the database.
    pub(crate) async fn begin(
        app: App,
        of: Of,
        start: Start,
        principal: Principal,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, Problem> {
        let batches = app.feed().subscribe();
        let mut connection = app.connection().await?;
        let at = match start {
            Start::Now => events::end(&mut connection).await?,
            Start::After(at) if events::is_kept(&mut connection, at).await? => at,
            Start::After(_) => {
                let detail =
                    "what followed that event may have been removed; leave Last-Event-ID out to begin anew";
                return Err(Problem::new(Kind::CursorGone, detail));
            }
        };
        drop(connection);
        let (lacks, now) = (Lacks::UpTo(at), Instant::now());
        let (next_beat, ends) = (now + BEAT, now + LIFE);
        Ok(Self { app, of, principal, batches, at, lacks, next_beat, ends, _slot: slot })
    }

    /// The events. The first one says where the stream begins: a client that is cut off before any other goes on there.
    pub(crate) fn into_body(self) -> Body {
        let hello = Bytes::from(format!("retry: 2000\nid: {}\nevent: ready\ndata: {{}}\n\n", self.at));
        let events = stream::unfold(self, |mut open| async move { Some((open.next().await?, open)) });
        Body::from_stream(stream::once(async { hello }).chain(events).map(Ok::<_, Infallible>))
    }

    /// The next piece to send; `None` ends the stream, and clients ask again.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.app.is_stopping() || Instant::now() >= self.ends {
                return None;
            }
            if Instant::now() >= self.next_beat {
                self.next_beat = Instant::now() + BEAT;
                if !self.is_welcome().await {
                    return None;
                }
                return Some(Bytes::from_static(b": still here\n\n"));
            }
            let found = match self.lacks {
                Lacks::UpTo(to) => self.read(to).await.ok()?,
                Lacks::Nothing => self.wait().await?,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    async fn read(&mut self, to: Position) -> Result<Option<Bytes>, Problem> {
        let mut connection = self.app.connection().await?;
        let page = events::after(&mut connection, self.of, self.at, PAGE).await?;
        drop(connection);
        self.at = page.last().map_or(self.at, |event| event.position);
        if page.len() < PAGE as usize {
            self.at = self.at.max(to);
            self.lacks = Lacks::Nothing;
        }
        let mut text = BytesMut::new();
        page.into_iter().for_each(|event| text.extend_from_slice(&Shown::new(event).text));
        Ok((!text.is_empty()).then(|| text.freeze()))
    }

    /// What the next batch has for this stream; nothing when it is time to look around.
    async fn wait(&mut self) -> Option<Option<Bytes>> {
        let batch = tokio::select! {
            () = self.app.stopping() => return None,
            () = sleep_until(self.next_beat) => return Some(None),
            batch = self.batches.recv() => batch,
        };
        match batch {
            Ok(batch) => Some(self.take(&batch)),
            Err(RecvError::Lagged(_)) => {
                self.lacks = Lacks::UpTo(self.at);
                Some(None)
            }
            Err(RecvError::Closed) => None,
        }
    }

    fn take(&mut self, batch: &Batch) -> Option<Bytes> {
        if batch.to <= self.at {
            return None;
        }
        if batch.from > self.at {
            self.lacks = Lacks::UpTo(batch.to);
            return None;
        }
        let mut text = BytesMut::new();
        let news =
            batch.events.iter().filter(|shown| shown.event.position > self.at && shown.event.is(self.of));
        news.for_each(|shown| text.extend_from_slice(&shown.text));
        self.at = batch.to;
        (!text.is_empty()).then(|| text.freeze())
    }

    /// Whether the key is still good. Nobody loses a stream because the database is away.
    async fn is_welcome(&self) -> bool {
        let Ok(mut connection) = self.app.connection().await else { return true };
        let valid: Result<bool, db::Error> = api_keys::is_valid(&mut connection, self.principal.key).await;
        valid.unwrap_or(true)
    }
}
