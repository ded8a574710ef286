//! The backend that apalis' worker polls: when to look for tasks, and how many to take.
//!
//! - It looks when woken, and on an interval; a wake that comes while a claim is under way leads to another
//!   claim, so none is lost.
//! - It takes no more than can be started at once, so that the worker's heartbeat and its results never wait
//!   behind a buffer.
//! - It hands payloads on as bytes: decoding is the handler's, where a failure ends one task and not the
//!   worker.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{Backend, Codec, Task as ApalisTask, WorkerContext};
use apalis_core::backend::{
    BackendConfig,
    finalize::Ephemeral,
    persistence::{Persisted, TaskPersistLayer},
};
use apalis_postgres::Config;
use futures::{StreamExt, stream, stream::BoxStream};
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior};
use ulid::Ulid;

use super::store::{Load, Store, StoreError};
use crate::wake::Wakes;

pub(super) struct Intake {
    persisted: Persisted<Store>,
    config: Config,
    load: Arc<Load>,
    wakes: BoxStream<'static, ()>,
    interval: Interval,
}

impl Intake {
    pub(super) fn new(store: Store, wakes: Wakes, poll_interval: Duration) -> Self {
        let mut interval = tokio::time::interval(poll_interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wakes = stream::unfold(wakes, |mut wakes| async move {
            wakes.next().await;
            Some(((), wakes))
        });
        Self {
            config: store.config.clone(),
            load: Arc::clone(&store.load),
            persisted: Persisted::new(store),
            wakes: wakes.boxed(),
            interval,
        }
    }

    /// Asks both sources until they are pending, which also registers the worker's waker with them.
    fn notice_wakes(&mut self, cx: &mut Context<'_>) {
        while self.interval.poll_tick(cx).is_ready() {
            self.load.wake();
        }
        while self.wakes.poll_next_unpin(cx).is_ready() {
            self.load.wake();
        }
    }
}

impl Backend for Intake {
    type Task = ApalisTask<Vec<u8>>;
    type Error = StoreError;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        self.persisted.poll_ready(cx, worker, self.config.heartbeat_interval)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        self.notice_wakes(cx);
        if self.load.free() == 0 {
            // The end of a handler polls the worker again. No claim is under way: one only begins when there
            // is room, and room only grows until it ends.
            return Poll::Pending;
        }
        let next = self.persisted.poll_next(cx, worker);
        match &next {
            Poll::Ready(Some(Ok(_))) => self.load.take(),
            Poll::Ready(Some(Err(_)) | None) => {}
            Poll::Pending => {
                if self.load.must_claim() {
                    cx.waker().wake_by_ref();
                }
            }
        }
        next
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        self.persisted.poll_close(cx, worker)
    }
}

impl BackendConfig for Intake {
    type Args = Vec<u8>;
    type Id = Ulid;
    /// Arguments stay as they are stored.
    type Kind = Ephemeral;
    type Config = Config;
    type Layer = TaskPersistLayer<NoResult, Value>;

    fn config(&self) -> &Config {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        // `persist_results` is also what marks rows as done. `lock_tasks` would write to rows that are ours
        // already, unfenced.
        self.persisted
            .layer(NoResult, self.load.limit())
            .persist_results(self.config.persist_results)
            .lock_tasks(self.config.lock_tasks)
    }
}

/// Handlers return nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoResult;

impl Codec<()> for NoResult {
    type Error = Infallible;
    type Compact = Value;

    fn encode(&self, (): &()) -> Result<Value, Infallible> {
        Ok(Value::Null)
    }

    fn decode(&self, _: &Value) -> Result<(), Infallible> {
        Ok(())
    }
}
