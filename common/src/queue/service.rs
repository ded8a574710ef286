//! One task, from its bytes to its outcome: decode, wait for a turn, run the handler, say how it went.
//!
//! Panics and overruns end here: apalis' own layers for them leave the row `Running` for ever. The handler
//! runs in a task of its own, so that it neither stalls the worker's heartbeat nor is cut off half-way when
//! the worker loses its connection.

use std::{error::Error as _, fmt::Write as _, sync::Arc, time::Duration};

use apalis::prelude::{AbortError, BoxDynError, RetryAfterError, TaskId};
use futures::future::BoxFuture;
use metrics::{counter, histogram};
use tokio::{sync::Semaphore, task::JoinError, time, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use super::{
    Queue, Task, Undecodable,
    store::{InFlight, Load},
    task::decode,
};
use crate::metric;

/// How a task ended.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Done,
    Undecodable,
    Panicked,
    TimedOut,
    /// Given back untouched: this process is going away.
    Released,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Undecodable => "undecodable",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Released => "released",
        }
    }
}

/// What one consumer's handlers share. Outlives its workers.
pub(super) struct Service<H> {
    pub(super) queue: Queue,
    pub(super) handler: H,
    pub(super) turns: Arc<Semaphore>,
    pub(super) handlers: TaskTracker,
    pub(super) time_limit: Duration,
    pub(super) shutdown: CancellationToken,
}

impl<H> Service<H> {
    /// What apalis calls for each task of one worker.
    pub(super) fn for_worker<T, F>(
        self: &Arc<Self>,
        load: &Arc<Load>,
    ) -> impl FnMut(Vec<u8>, TaskId) -> BoxFuture<'static, Result<(), BoxDynError>> + Clone + Send + use<T, F, H>
    where
        T: Task,
        H: Fn(T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let service = Arc::clone(self);
        let load = Arc::clone(load);
        move |payload, id| {
            let in_flight = InFlight(Arc::clone(&load));
            let service = Arc::clone(&service);
            Box::pin(async move {
                let _in_flight = in_flight;
                let (outcome, result) = service.process(&payload, &id).await;
                counter!(metric::QUEUE_TASKS,
                    "queue" => service.queue.kind().as_str(), "outcome" => outcome.as_str())
                .increment(1);
                result
            })
        }
    }

    async fn process<T, F>(&self, payload: &[u8], id: &TaskId) -> (Outcome, Result<(), BoxDynError>)
    where
        T: Task,
        H: Fn(T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let queue = self.queue;
        let task: T = match decode(payload) {
            Ok(task) => task,
            Err(undecodable) => {
                let reason = explain(&undecodable);
                warn!(%queue, task.id = %id, error = reason, "task set aside: its payload can't be read");
                // `AbortError` is what marks the row `Killed`, which is never tried again.
                return (Outcome::Undecodable, Err(Box::new(AbortError::new(reason))));
            }
        };
        let turn = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => None,
            turn = Arc::clone(&self.turns).acquire_owned() => turn.ok(),
        };
        let Some(turn) = turn else {
            return (Outcome::Released, Err(released()));
        };

        let handler = self.handler.clone();
        let time_limit = self.time_limit;
        let started = Instant::now();
        let handled = self
            .handlers
            .spawn(async move {
                let _turn = turn;
                time::timeout(time_limit, async move { handler(task).await }).await
            })
            .await;
        let elapsed = started.elapsed();
        histogram!(metric::QUEUE_TASK_DURATION, "queue" => queue.kind().as_str()).record(elapsed);
        match handled {
            Ok(Ok(())) => (Outcome::Done, Ok(())),
            Ok(Err(_)) => {
                error!(%queue, task.id = %id, limit_ms = time_limit.as_millis(), "handler cut off: it overran");
                (Outcome::TimedOut, Err(format!("the handler ran longer than {time_limit:?}").into()))
            }
            Err(join) if join.is_panic() => {
                let message = panic_message(join);
                error!(%queue, task.id = %id, error = message, "handler panicked");
                (Outcome::Panicked, Err(format!("the handler panicked: {message}").into()))
            }
            // The runtime is going away.
            Err(_) => (Outcome::Released, Err(released())),
        }
    }
}

/// Puts the row back to `Pending`. apalis ignores the delay.
fn released() -> BoxDynError {
    Box::new(RetryAfterError::new("given back at shutdown", Duration::ZERO))
}

fn panic_message(join: JoinError) -> String {
    let payload = join.into_panic();
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

fn explain(undecodable: &Undecodable) -> String {
    let mut reason = undecodable.to_string();
    if let Some(source) = undecodable.source() {
        // Writing to a String can't fail.
        let _ = write!(reason, ": {source}");
    }
    reason
}
