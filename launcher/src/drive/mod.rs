//! One attempt from its acceptance to the release of its place: the owner's part of its life.
//!
//! ```text
//! allowed? → stage → [begin] → create → [spawned, fence still ours?] → start → [started] → follow, wait
//!          → collect → [finish: outcome, artifacts, cursors] → remove → [release]          [..] = a transaction
//! ```
//! Guarantees: everything on the engine is addressed by the name that carries our fence; whoever finds its fence gone
//! stops at once and touches nothing; after `create` was sent an error of the engine ends nothing until this engine
//! says that the container has ended, was never started, or is not there.
//!
//! Why an adopter may make a container although an older owner's `create` may still be on its way: the older owner
//! starts only after it has found its fence held *after* its create was answered. If that look came before the fence
//! moved on, the container existed before the adopter listed the engine, so it was found and renamed, and the older
//! start hits a name that is gone. If it came later, it failed. Either way the late container never runs;
//! reconciliation removes it.

mod begin;
mod classify;
mod collect;
mod conclude;
mod follow;
mod launch;
mod segment;
mod takeover;
mod watch;

use std::sync::Arc;

use cyberbrain_common::db::{audit::Entry, offers::Taken, supervision::Assignment, transition::Step};
use cyberbrain_core::{
    audit::Operation,
    lifecycle::{AttemptState, Event, FailureKind, Outcome, StopReason},
};
use tokio::time::sleep;

pub(crate) use begin::begin;
pub(crate) use collect::{Caps, Listed, list};

use self::follow::Signs;
use crate::{
    agent::{Agent, ENGINE_PAUSE},
    layout::AttemptDir,
    orders::{LetGo, Order, Orders},
    record::{Owned, Record},
    runtime::{ContainerName, Exit},
};

/// Whether there was an owner before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We accepted the offer: nothing was sent to the engine.
    Offer,
    /// The engine may have something of it.
    Orphan,
}

/// The supervisor of one attempt.
struct Drive {
    agent: Arc<Agent>,
    job: Assignment,
    owned: Owned,
    orders: Orders,
    name: ContainerName,
    dir: AttemptDir,
    /// The engine's id of the container, once known. For records only.
    container_id: Option<String>,
}

/// How the work came to its end, before anything is stored.
#[derive(Debug)]
enum Ended {
    /// The container has ended.
    Exited { exit: Exit, stop: Option<StopReason>, signs: Signs },
    /// It was never started.
    NeverRan { outcome: Outcome, detail: Option<String>, refused: bool, leftover: Leftover },
    /// It is not there any more, and nobody else owns the attempt.
    Missing { stop: Option<StopReason> },
    /// The host was booted since the container was made.
    Rebooted { leftover: Leftover },
}

/// Whether the engine may have a container under our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    None,
    Possible,
}

impl Ended {
    fn failed(failure: FailureKind, detail: impl Into<String>, leftover: Leftover) -> Self {
        Self::NeverRan {
            outcome: Outcome::Failed(failure),
            detail: Some(detail.into()),
            refused: false,
            leftover,
        }
    }

    /// What an order above [`Order::Continue`] means for a container that never ran.
    fn ordered(order: Order, leftover: Leftover) -> Self {
        let (outcome, detail) = match order {
            Order::Cancel => (Outcome::Cancelled, None),
            Order::Continue | Order::StopForExit | Order::LetGo => (
                Outcome::Failed(FailureKind::LauncherStopped),
                Some("the launcher ended before the container was started".to_owned()),
            ),
        };
        Self::NeverRan { outcome, detail, refused: false, leftover }
    }
}

impl Drive {
    /// All of it. Ends early, without touching anything, when the attempt is not ours any more.
    async fn run(&mut self, origin: Origin) -> Result<(), LetGo> {
        let found = match origin {
            Origin::Offer => None,
            Origin::Orphan => self.find().await?,
        };
        let ended = self.work(found).await?;
        self.conclude(ended).await
    }

    async fn work(&mut self, found: Option<takeover::Found>) -> Result<Ended, LetGo> {
        if self.job.boot_id.as_ref().is_some_and(|boot| *boot != self.agent.boot_id) {
            let leftover = if found.is_some() { Leftover::Possible } else { Leftover::None };
            return Ok(Ended::Rebooted { leftover });
        }
        match (self.job.state, found) {
            (AttemptState::Accepted | AttemptState::Starting, None) => self.launch().await,
            (AttemptState::Accepted | AttemptState::Starting | AttemptState::Running, Some(found)) => {
                self.resume(found).await
            }
            (AttemptState::Running, None) => Ok(Ended::Missing { stop: None }),
            (AttemptState::Stopping, None) => Ok(Ended::Missing { stop: self.job.stop_reason }),
            (AttemptState::Stopping, Some(found)) => self.stop_found(found).await,
            // Neither is ever taken: the database hands out open attempts only.
            (AttemptState::Offered | AttemptState::Done | AttemptState::Lost, _) => Err(LetGo),
        }
    }

    /// Records a step of the attempt's life; waits until it is written.
    async fn step(&mut self, step: Step) -> Result<(), LetGo> {
        let record = Record { step: Some(step), ..Record::default() };
        self.write(&record).await
    }

    async fn write(&mut self, record: &Record) -> Result<(), LetGo> {
        self.agent.write(&self.owned, record, &mut self.orders).await.map(drop)
    }

    fn event(&self, event: Event) -> Step {
        Step::new(self.job.run_job, event)
    }

    /// An audit row about this attempt.
    fn entry(&self, operation: Operation) -> Entry {
        let gpus = self.job.gpus.iter().map(|gpu| gpu.uuid.as_str().to_owned()).collect();
        let entry = Entry::new(operation, &Agent::actor())
            .run(self.job.run)
            .run_job(self.job.run_job)
            .attempt(self.job.attempt)
            .host(self.agent.host_name.clone())
            .image(self.job.spec.image.to_string())
            .gpus(gpus);
        match &self.container_id {
            Some(id) => entry.container(id.clone()),
            None => entry,
        }
    }

    /// Waits a little before the engine is asked again; ends early when told to let go.
    async fn pause(&mut self) -> Result<(), LetGo> {
        tokio::select! {
            () = self.orders.let_go() => Err(LetGo),
            () = sleep(ENGINE_PAUSE) => Ok(()),
        }
    }

    fn taken(&self) -> Taken {
        Taken { run_job: self.job.run_job, attempt: self.job.attempt, fence: self.job.fence }
    }
}
