//! Starts the supervisor of an attempt that this launcher has just taken.

use std::sync::Arc;

use cyberbrain_common::db::{offers::Taken, supervision::Assignment};
use cyberbrain_core::spec::OnHostLost;
use tracing::Instrument;

use super::{Drive, Origin};
use crate::{
    agent::Agent,
    guard::WatchedAttempt,
    orders::{LetGo, Order},
    record::Owned,
    runtime::ContainerName,
};

/// Enters the attempt in the register and drives it in a task of its own.
pub(crate) fn begin(agent: &Arc<Agent>, job: Assignment, origin: Origin) {
    let taken = Taken { run_job: job.run_job, attempt: job.attempt, fence: job.fence };
    let first = if job.cancelled { Order::Cancel } else { Order::Continue };
    let timeouts = job.spec.timeouts;
    let watched = WatchedAttempt {
        attempt: job.attempt,
        host_lost_seconds: match job.spec.on_host_lost {
            OnHostLost::Replace => Some(timeouts.host_lost_seconds),
            OnHostLost::Wait => None,
        },
        stop_grace_seconds: timeouts.stop_grace_seconds,
    };
    let (orders, entered) = agent.register.enter(taken, watched, first);
    let mut drive = Drive {
        name: ContainerName::for_attempt(job.attempt, job.fence),
        dir: agent.layout.attempt(&job),
        owned: Owned {
            run: job.run,
            run_job: job.run_job,
            attempt: job.attempt,
            fence: job.fence,
            task_key: job.task_key.clone(),
        },
        agent: Arc::clone(agent),
        job,
        orders,
        container_id: None,
    };
    let span = tracing::info_span!("attempt", attempt.id = %taken.attempt, fence = taken.fence.0);
    let work = async move {
        let entered = entered;
        tracing::debug!(state = %drive.job.state, ?origin, "driving an attempt");
        match drive.run(origin).await {
            Ok(()) => tracing::debug!("attempt ended"),
            Err(LetGo) => tracing::info!("let go of the attempt"),
        }
        drop(entered);
    };
    // Its size is several kilobytes of nested calls.
    agent.tasks.spawn(Box::pin(work.instrument(span)));
}
