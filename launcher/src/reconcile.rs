//! Holds the engine against the rows and does what `core::reconcile` says: at the start, every ten seconds, and when
//! contact hears of disorder.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use cyberbrain_common::{
    boot_clock,
    db::{
        self,
        attempts::release,
        audit::{self, Entry},
        hosts,
        machines::{self, CleanupCounts},
        offers,
        supervision::{self, AttemptRow},
    },
    metric,
};
use cyberbrain_core::{
    audit::Operation,
    ids::AttemptId,
    reconcile::{Action, Attempt, Container, Owner, Phase, Place, Removal, Subject, reconcile},
    staging::ContainerState,
};
use futures::{StreamExt, stream};
use sqlx::Connection;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Agent,
    drive::{self, Origin},
    runtime::{self, ContainerName, Labels, Listed, Observation, Purpose},
};

const PERIOD: Duration = Duration::from_secs(10);
/// Pause before the first pass is tried again.
const RETRY: Duration = Duration::from_secs(1);
const DB_LIMIT: Duration = Duration::from_secs(15);
/// Removals at once.
const CONCURRENCY: usize = 4;
/// What a container whose attempt is over gets between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the engine can't list containers")]
    Engine(#[from] runtime::Error),
    #[error("the rows can't be read or written")]
    Db(#[from] db::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What one pass leaves for the next.
#[derive(Default)]
struct Memory {
    /// When containers were first seen, by id, on the boot-time clock.
    first_seen_ms: HashMap<String, u64>,
    /// Attempts that had ended, and held their place, at the end of the last pass.
    ended: HashSet<AttemptId>,
    /// Strays that were told of.
    alerted: HashSet<String>,
}

/// Reconciles until `shutdown`.
pub(crate) async fn run(agent: Arc<Agent>, shutdown: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = Memory::default();
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = agent.disorder.notified() => {}
            () = shutdown.cancelled() => return,
        }
        let pass = tokio::select! {
            pass = pass(&agent, &mut memory) => pass,
            () = shutdown.cancelled() => return,
        };
        match pass {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("reconciling again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "containers can't be reconciled, trying again"
                    );
                }
                tokio::select! {
                    () = sleep(RETRY) => agent.disorder.notify_one(),
                    () = shutdown.cancelled() => return,
                }
            }
        }
    }
}

async fn pass(agent: &Arc<Agent>, memory: &mut Memory) -> Result<(), Error> {
    // Before the engine is listed: what is counted was there when somebody asked, or came later.
    let asked = bounded(async {
        let mut connection = agent.pool.acquire().await?;
        Ok(machines::open_cleanup(&mut connection, agent.host).await?)
    })
    .await?;
    let listed = agent.runtime.list_ours(agent.instance.id).await?;
    let actions = decide(agent, memory, &listed).await?;
    let mut adopt = false;
    let mut forgotten = Vec::new();
    let mut removals = Vec::new();
    let mut strays = 0_u32;
    for (action, row) in actions {
        match action {
            Action::Adopt { attempt } | Action::Finish { attempt } => {
                match row.and_then(|row| row.launcher) {
                    Some(_) => forgotten.push(attempt),
                    None => adopt = true,
                }
            }
            Action::Remove { container, attempt, why } => removals.push((container, attempt, why, row)),
            Action::Release { .. } => {
                if let Some(row) = row {
                    give_back(agent, &row, None).await?;
                }
            }
            Action::Quarantine { container } => {
                strays += 1;
                quarantine(agent, memory, &container).await?;
            }
        }
    }
    metrics::gauge!(metric::CONTAINERS_QUARANTINED).set(strays);
    if adopt {
        take_orphans(agent).await?;
    }
    if !forgotten.is_empty() {
        take_forgotten(agent, &forgotten).await?;
    }
    if !agent.reconciled.send_replace(true) {
        tracing::info!(containers = listed.len(), "reconciled; taking work");
        agent.offers.notify_one();
    }
    bounded(async {
        let mut connection = agent.pool.acquire().await?;
        Ok(hosts::mark_reconciled(&mut connection, agent.host).await?)
    })
    .await?;
    let removed = removals.len();
    let removing = stream::iter(removals)
        .map(|(name, attempt, why, row)| async move { remove(agent, &name, attempt, why, row).await });
    removing.buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    if let Some(cleanup) = asked {
        let count = |many: usize| i32::try_from(many).unwrap_or(i32::MAX);
        let counts = CleanupCounts {
            seen: count(listed.len()),
            removed: count(removed),
            quarantined: strays.cast_signed(),
        };
        bounded(async {
            let mut connection = agent.pool.acquire().await?;
            Ok(machines::finish_cleanup(&mut connection, cleanup, counts).await?)
        })
        .await?;
    }
    Ok(())
}

type Decided = Vec<(Action<ContainerName>, Option<AttemptRow>)>;

/// Reads the rows, after the engine was listed, and decides.
async fn decide(agent: &Agent, memory: &mut Memory, listed: &[Listed]) -> Result<Decided, Error> {
    let now_ms = boot_clock::now_ms();
    memory.first_seen_ms.retain(|id, _| listed.iter().any(|container| container.id.as_str() == id));
    let containers: Vec<_> = listed
        .iter()
        .map(|container| {
            let first = *memory.first_seen_ms.entry(container.id.to_string()).or_insert(now_ms);
            Container {
                name: container.name.clone(),
                subject: subject(container),
                phase: phase(container.state),
                seen_for: Duration::from_millis(now_ms.saturating_sub(first)),
            }
        })
        .collect();
    let known: Vec<AttemptId> = containers
        .iter()
        .filter_map(|container| match container.subject {
            Subject::Attempt { id, .. } => Some(id),
            Subject::Helper | Subject::Unreadable => None,
        })
        .collect();
    // Nothing is being taken while rows and register are compared.
    let _taking = agent.taking.lock().await;
    let rows = bounded(async {
        let mut connection = agent.pool.acquire().await?;
        Ok(supervision::attempts_of_host(&mut connection, agent.host, &known).await?)
    })
    .await?;
    let attempts: Vec<Attempt> = rows.iter().map(|row| attempt(agent, memory, row)).collect();
    memory.ended =
        rows.iter().filter(|row| !row.state.is_open() && !row.released).map(|row| row.attempt).collect();
    let actions = reconcile(&containers, &attempts);
    let row_of = |id: AttemptId| rows.iter().find(|row| row.attempt == id).cloned();
    Ok(actions
        .into_iter()
        .map(|action| {
            let row = match &action {
                Action::Adopt { attempt } | Action::Finish { attempt } | Action::Release { attempt } => {
                    row_of(*attempt)
                }
                Action::Remove { attempt, .. } => attempt.and_then(row_of),
                Action::Quarantine { .. } => None,
            };
            (action, row)
        })
        .collect())
}

fn subject(container: &Listed) -> Subject {
    match &container.labels {
        Some(Labels { purpose: Purpose::Worker(worker), .. }) => {
            let fence =
                container.name.owner().filter(|(id, _)| *id == worker.attempt_id).map(|(_, fence)| fence);
            Subject::Attempt { id: worker.attempt_id, fence }
        }
        Some(Labels { purpose: Purpose::Helper { .. }, .. }) => Subject::Helper,
        None => Subject::Unreadable,
    }
}

const fn phase(state: ContainerState) -> Phase {
    match state {
        ContainerState::Created => Phase::Created,
        ContainerState::Running
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Removing => Phase::Live,
        ContainerState::Exited | ContainerState::Dead => Phase::Ended,
    }
}

fn attempt(agent: &Agent, memory: &Memory, row: &AttemptRow) -> Attempt {
    let owner = if agent.register.drives(row.attempt) {
        Owner::Driven
    } else {
        match row.launcher {
            None => Owner::Nobody,
            Some(launcher) if launcher == agent.launcher => Owner::Forgotten,
            Some(_) => Owner::Sibling,
        }
    };
    let place = match (row.released, memory.ended.contains(&row.attempt)) {
        (true, _) => Place::Released,
        (false, true) => Place::HeldAfterEnd,
        (false, false) => Place::Held,
    };
    Attempt { id: row.attempt, state: row.state, fence: row.fence, owner, place }
}

/// Adopts whatever of this host nobody owns.
async fn take_orphans(agent: &Arc<Agent>) -> Result<(), Error> {
    let _taking = agent.taking.lock().await;
    let jobs = bounded(async {
        let mut connection = agent.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        let taken =
            offers::adopt(&mut tx, agent.host, agent.launcher, agent.limits.attempts, &Agent::actor())
                .await?;
        let ids: Vec<_> = taken.iter().map(|taken| taken.attempt).collect();
        let jobs = supervision::assignments(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(jobs)
    })
    .await?;
    for job in jobs {
        tracing::info!(attempt.id = %job.attempt, fence = job.fence.0, state = %job.state, "adopting an attempt");
        drive::begin(agent, job, Origin::Orphan);
    }
    Ok(())
}

/// Takes up what is ours by the rows: the answer to a commit was lost, or a supervisor died of a bug.
async fn take_forgotten(agent: &Arc<Agent>, attempts: &[AttemptId]) -> Result<(), Error> {
    let _taking = agent.taking.lock().await;
    let jobs = bounded(async {
        let mut connection = agent.pool.acquire().await?;
        Ok(supervision::assignments(&mut connection, attempts).await?)
    })
    .await?;
    for job in jobs.into_iter().filter(|job| job.state.is_open() && !agent.register.drives(job.attempt)) {
        tracing::warn!(attempt.id = %job.attempt, fence = job.fence.0, state = %job.state, "taking up an attempt of ours that nothing drove");
        drive::begin(agent, job, Origin::Orphan);
    }
    Ok(())
}

async fn quarantine(agent: &Agent, memory: &mut Memory, container: &ContainerName) -> Result<(), Error> {
    if !memory.alerted.insert(container.to_string()) {
        return Ok(());
    }
    let why = format!("the container {container} carries our label but no attempt is known for it");
    tracing::error!(container.name = %container, "a container of ours that no row knows; it is left alone for now");
    let entry = Entry::new(Operation::Error, &Agent::actor()).host(agent.host_name.clone()).failed(why);
    bounded(async {
        let mut connection = agent.pool.acquire().await?;
        Ok(audit::write(&mut connection, entry).await?)
    })
    .await
}

/// Stops and removes one container, then gives its attempt's place back. What fails is found again by the next pass.
async fn remove(
    agent: &Agent,
    name: &ContainerName,
    attempt: Option<AttemptId>,
    why: Removal,
    row: Option<AttemptRow>,
) {
    tracing::info!(container.name = %name, ?attempt, ?why, "removing a container");
    let gone = async {
        match agent.runtime.stop(name, GRACE).await {
            Ok(()) | Err(runtime::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match agent.runtime.remove(name).await {
            Ok(()) | Err(runtime::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match agent.runtime.inspect(name).await {
            Observation::Absent => Ok(true),
            Observation::Created | Observation::Running { .. } | Observation::Exited(_) => Ok(false),
            Observation::Unknown(error) => Err(error),
        }
    };
    match gone.await {
        Ok(true) => metrics::counter!(metric::CONTAINERS_ORPHANED_REMOVED).increment(1),
        Ok(false) => return,
        Err(error) => {
            tracing::warn!(container.name = %name, error = &error as &dyn std::error::Error, "the container can't be removed, trying again later");
            return;
        }
    }
    let given_back = match (why, &row) {
        (Removal::AttemptEnded, Some(row)) => give_back(agent, row, Some(name)).await,
        (Removal::AttemptEnded | Removal::Leftover | Removal::Stray, _) => {
            let entry = Entry::new(Operation::Remove, &Agent::actor())
                .host(agent.host_name.clone())
                .reason(format!("{why:?}: {name}"));
            bounded(async {
                let mut connection = agent.pool.acquire().await?;
                Ok(audit::write(&mut connection, entry).await?)
            })
            .await
        }
    };
    if let Err(error) = given_back {
        tracing::warn!(container.name = %name, error = &error as &dyn std::error::Error, "the removal is not on record, trying again later");
    }
}

async fn give_back(agent: &Agent, row: &AttemptRow, name: Option<&ContainerName>) -> Result<(), Error> {
    let entry = Entry::new(Operation::Remove, &Agent::actor())
        .run(row.run)
        .run_job(row.run_job)
        .attempt(row.attempt)
        .host(agent.host_name.clone());
    let entry = match name {
        Some(name) => entry.reason(format!("left behind: {name}")),
        None => entry.reason("the engine has no container of it"),
    };
    bounded(async {
        let mut connection = agent.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        release(&mut tx, row.attempt, entry).await?;
        Ok(tx.commit().await?)
    })
    .await?;
    agent.freed.wake();
    Ok(())
}

async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(DB_LIMIT, work).await.unwrap_or(Err(Error::Db(db::Error::Unreachable(sqlx::Error::PoolTimedOut))))
}
