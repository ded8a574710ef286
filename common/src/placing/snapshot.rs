//! From rows to the problem that placement solves.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use cyberbrain_core::{
    ids::{GpuUuid, HostId},
    placement::{Class, Head, Options, Placeability, Problem, Request, Telemetry},
    spec::JobSpec,
};
use tracing::error;

use super::quota::quotas;
use crate::db::{
    Conn, Error, plan,
    waiting::{self, ClassKey, WaitingClass, WaitingHead},
};

/// Classes and RunJobs that one tick looks at.
const CLASSES: u32 = 2_000;
const HEADS: u32 = 2_000;

/// What one look takes in: what a tick decides on, and what it needs to write the answer down.
#[derive(Debug)]
pub struct Snapshot {
    pub problem: Problem,
    /// Of each class of the problem.
    pub keys: Vec<ClassKey>,
    /// Of each class of the problem: the reason that is stored already.
    pub noted: Vec<Option<String>>,
    pub now: DateTime<Utc>,
}

/// Reads everything in the caller's frozen transaction. Cards in `stale` have telemetry that stands still; nothing is
/// placed on `sidelined` hosts.
///
/// # Errors
/// A database error.
pub async fn read(
    tx: &mut Conn,
    options: Options,
    stale: &BTreeSet<GpuUuid>,
    sidelined: &BTreeSet<HostId>,
) -> Result<Snapshot, Error> {
    let now = plan::now(tx).await?;
    let classes = waiting::classes(tx, CLASSES).await?;
    let mut snapshot = Snapshot {
        problem: Problem { options, ..Problem::default() },
        keys: Vec::new(),
        noted: Vec::new(),
        now,
    };
    if classes.is_empty() {
        return Ok(snapshot);
    }
    let limits = quotas(&classes, HEADS);
    let asked: Vec<(&ClassKey, u32)> = classes.iter().map(|class| &class.key).zip(limits).collect();
    let heads = waiting::heads(tx, &asked).await?;
    let problem = &mut snapshot.problem;
    problem.hosts = plan::hosts(tx).await?;
    problem.gpus = plan::gpus(tx, options.expected_utilization_percent).await?;
    problem.held = waiting::held_places(tx).await?;
    for host in problem.hosts.iter_mut().filter(|host| sidelined.contains(&host.id)) {
        // Still known, so that nothing becomes infeasible because of it.
        host.placeability = Placeability::Cordoned;
    }
    for gpu in problem.gpus.iter_mut().filter(|gpu| stale.contains(&gpu.uuid)) {
        gpu.telemetry = match gpu.telemetry {
            Telemetry::Fresh | Telemetry::Stale => Telemetry::Stale,
            Telemetry::Never => Telemetry::Never,
        };
    }
    let mut heads = heads.into_iter().peekable();
    for (position, class) in classes.into_iter().enumerate() {
        let own = std::iter::from_fn(|| heads.next_if(|head| head.class == position)).collect();
        snapshot.add(class, own);
    }
    Ok(snapshot)
}

impl Snapshot {
    fn add(&mut self, class: WaitingClass, heads: Vec<WaitingHead>) {
        let Some(spec) = heads.iter().find_map(|head| head.spec.as_ref()) else { return };
        let spec: JobSpec = match serde_json::from_value(spec.clone()) {
            Ok(spec) => spec,
            Err(failure) => {
                // The others go on; this one fails with its queue deadline.
                error!(run_job.id = ?heads.first().map(|head| head.run_job), error = %failure,
                    "a stored job specification can't be read");
                return;
            }
        };
        let patience = TimeDelta::seconds(i64::from(spec.gpu.prefer_wait_seconds));
        let head = |head: WaitingHead| Head {
            run_job: head.run_job,
            waiting_since: head.waiting_since,
            prefer_expires: head.waiting_since + patience,
        };
        self.problem.classes.push(Class {
            priority: i32::from(class.key.priority),
            submitter: class.key.submitter.clone(),
            request: Request { resources: spec.resources, gpu: spec.gpu, image: spec.image, host: spec.host },
            waiting: class.waiting,
            heads: heads.into_iter().map(head).collect(),
        });
        self.keys.push(class.key);
        self.noted.push(class.noted);
    }
}
