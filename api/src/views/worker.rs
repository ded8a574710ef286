//! Workers that live now, and the queues before them.

use chrono::{DateTime, Utc};
use cyberbrain_common::{
    db::{
        pauses::Pause,
        workers::{Waiting, Worker},
    },
    queue::{QueueKind, QueueStats},
};
use cyberbrain_core::{
    ids::{AttemptId, RunId, RunJobId},
    lifecycle::AttemptState,
};
use serde::Serialize;
use utoipa::ToSchema;

/// An attempt that holds a place on a host.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WorkerView {
    /// Of the attempt; what stopping it takes.
    id: AttemptId,
    run_id: RunId,
    run_job_id: RunJobId,
    /// Key of its job.
    job: String,
    name: String,
    host: String,
    state: AttemptState,
    /// Number of the attempt, from 1.
    attempt: i32,
    /// Null until it has a container.
    container_id: Option<String>,
    gpus: Vec<String>,
    offered_at: DateTime<Utc>,
    /// When its container was started.
    running_at: Option<DateTime<Utc>>,
}

impl From<Worker> for WorkerView {
    fn from(row: Worker) -> Self {
        Self {
            id: row.attempt,
            run_id: row.run,
            run_job_id: row.run_job,
            job: row.task_key,
            name: row.name,
            host: row.host,
            state: row.state,
            attempt: row.number,
            container_id: row.container_id,
            gpus: row.gpus,
            offered_at: row.offered_at,
            running_at: row.running_at,
        }
    }
}

/// One page of workers, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WorkerPage {
    pub workers: Vec<WorkerView>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// A queue.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OneQueue {
    queue: QueueKind,
    /// Tasks that no process has taken yet.
    depth: u64,
    /// How long the oldest of them has waited.
    oldest_seconds: f64,
    paused: Option<PauseView>,
}

/// Why a queue is not worked on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PauseView {
    by: String,
    reason: String,
    at: DateTime<Utc>,
}

/// A queue that is not worked on, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PauseOf {
    queue: QueueKind,
    #[serde(flatten)]
    pause: PauseView,
}

impl From<Pause> for PauseOf {
    fn from(Pause { queue, by, reason, at }: Pause) -> Self {
        Self { queue, pause: PauseView { by, reason, at } }
    }
}

/// RunJobs that wait for the same reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WaitingView {
    /// Null: nobody has looked at them yet.
    reason: Option<String>,
    run_jobs: i64,
    oldest_at: DateTime<Utc>,
}

/// All queues.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct QueueView {
    queues: Vec<OneQueue>,
    /// By what they wait for; the most first.
    waiting: Vec<WaitingView>,
}

impl QueueView {
    pub(crate) fn new(stats: &[QueueStats], pauses: &[Pause], waiting: Vec<Waiting>) -> Self {
        let queue = |kind: QueueKind| {
            let of_kind = stats.iter().filter(|stats| stats.queue.kind() == kind);
            OneQueue {
                queue: kind,
                depth: of_kind.clone().map(|stats| stats.depth).sum(),
                oldest_seconds: of_kind.map(|stats| stats.oldest_seconds).fold(0.0, f64::max),
                paused: pauses.iter().find(|pause| pause.queue == kind).map(|pause| PauseView {
                    by: pause.by.clone(),
                    reason: pause.reason.clone(),
                    at: pause.at,
                }),
            }
        };
        let waiting = waiting.into_iter().map(|row| WaitingView {
            reason: row.reason,
            run_jobs: row.run_jobs,
            oldest_at: row.oldest_at,
        });
        Self { queues: QueueKind::ALL.iter().copied().map(queue).collect(), waiting: waiting.collect() }
    }
}
