//! Containers that exist in this process's memory only: names, states and logs, with an engine's rules.
//!
//! Shared by the runtimes that have no engine. Guarantees the same answers to the same calls as an engine:
//! a name is unique, a rename moves everything, a running container is not removed, nothing starts twice.
//! Deliberately absent: what runs. The runtimes start something and report here how it ended.

mod log_buffer;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use cyberbrain_core::{ids::InstanceId, staging::ContainerState};
use futures::{StreamExt, future, stream};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub(super) use self::log_buffer::{LogBuffer, LogWriter};
use super::{
    error::{EngineCall, Error},
    logs::{LogLines, LogRequest, LogSource},
    name::{ContainerId, ContainerName},
    observe::{Exit, Listed, Observation},
    plan::ContainerPlan,
};

/// Signals that may wait for a container's task. More are dropped: it is being stopped already.
const SIGNALS: usize = 8;

/// What a container's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// Where a container is in its life.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Created,
    Running { started_at: DateTime<Utc>, signals: mpsc::Sender<Signal> },
    Exited(Exit),
}

/// One container.
#[derive(Debug)]
pub(super) struct Cell {
    pub id: ContainerId,
    pub plan: ContainerPlan,
    pub logs: LogBuffer,
    created_at: DateTime<Utc>,
    phase: watch::Sender<Phase>,
}

impl Cell {
    /// Moves it from created to running; whoever gets the receiver is the one who starts it.
    pub(super) fn claim_start(&self) -> Result<mpsc::Receiver<Signal>, &'static str> {
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let mut refused = None;
        self.phase.send_if_modified(|phase| {
            refused = match phase {
                Phase::Created => None,
                Phase::Running { .. } => Some("it is running already"),
                Phase::Exited(_) => Some("it has run already"),
            };
            if refused.is_none() {
                *phase = Phase::Running { started_at: Utc::now(), signals };
            }
            refused.is_none()
        });
        refused.map_or(Ok(receiver), Err)
    }

    /// The start came to nothing: as if it had not been tried.
    pub(super) fn unclaim_start(&self) {
        self.phase.send_replace(Phase::Created);
    }

    /// It has ended.
    pub(super) fn end(&self, code: i64, oom_killed: bool) {
        self.logs.close();
        self.phase.send_if_modified(|phase| match phase {
            Phase::Running { started_at, .. } => {
                let finished_at = Some(Utc::now());
                *phase = Phase::Exited(Exit { code, oom_killed, started_at: Some(*started_at), finished_at });
                true
            }
            Phase::Created | Phase::Exited(_) => false,
        });
    }

    /// Passes a signal on, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        if let Phase::Running { signals, .. } = &*self.phase.borrow() {
            // Full means that the same was asked many times already; closed, that it just ended.
            let _ = signals.try_send(signal);
        }
    }

    /// Waits until it does not run.
    pub(super) async fn ended(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives in this cell, so it can't be gone.
        let _ = phase.wait_for(|phase| !matches!(phase, Phase::Running { .. })).await;
    }

    fn observe(&self) -> Observation {
        match &*self.phase.borrow() {
            Phase::Created => Observation::Created,
            Phase::Running { started_at, .. } => Observation::Running { started_at: Some(*started_at) },
            Phase::Exited(exit) => Observation::Exited(*exit),
        }
    }
}

/// All containers of one runtime.
#[derive(Debug, Default)]
pub(super) struct Containers(Mutex<BTreeMap<ContainerName, Arc<Cell>>>);

impl Containers {
    pub(super) fn create(&self, plan: &ContainerPlan) -> Result<ContainerId, Error> {
        let mut table = self.lock();
        if table.contains_key(&plan.name) {
            return Err(Error::NameTaken { call: EngineCall::Create, subject: plan.name.to_string() });
        }
        // As long as an engine's, so that nothing learns to rely on shorter ones.
        let id = ContainerId::new(format!("{:x}", Sha256::digest(Uuid::now_v7().as_bytes())));
        let cell = Cell {
            id: id.clone(),
            plan: plan.clone(),
            logs: LogBuffer::default(),
            created_at: Utc::now(),
            phase: watch::Sender::new(Phase::Created),
        };
        table.insert(plan.name.clone(), Arc::new(cell));
        Ok(id)
    }

    pub(super) fn get(&self, call: EngineCall, name: &ContainerName) -> Result<Arc<Cell>, Error> {
        let found = self.lock().get(name).map(Arc::clone);
        found.ok_or_else(|| Error::NotFound { call, subject: name.to_string() })
    }

    pub(super) fn rename(&self, from: &ContainerName, to: &ContainerName) -> Result<(), Error> {
        let call = EngineCall::Rename;
        let mut table = self.lock();
        if !table.contains_key(from) {
            return Err(Error::NotFound { call, subject: from.to_string() });
        }
        if table.contains_key(to) {
            return Err(Error::NameTaken { call, subject: to.to_string() });
        }
        if let Some(cell) = table.remove(from) {
            table.insert(to.clone(), cell);
        }
        Ok(())
    }

    pub(super) fn remove(&self, name: &ContainerName) -> Result<(), Error> {
        let call = EngineCall::Remove;
        let mut table = self.lock();
        let cell = table.get(name).ok_or_else(|| Error::NotFound { call, subject: name.to_string() })?;
        if matches!(cell.observe(), Observation::Running { .. }) {
            let why = "it is running".to_owned();
            return Err(Error::Refused { call, subject: name.to_string(), why });
        }
        table.remove(name);
        Ok(())
    }

    /// Takes it out of the table whatever its state: what an operator's `rm -f` does.
    pub(super) fn forget(&self, name: &ContainerName) -> Option<Arc<Cell>> {
        self.lock().remove(name)
    }

    pub(super) fn all(&self) -> Vec<Arc<Cell>> {
        self.lock().values().map(Arc::clone).collect()
    }

    pub(super) fn observe(&self, name: &ContainerName) -> Observation {
        self.lock().get(name).map_or(Observation::Absent, |cell| cell.observe())
    }

    pub(super) async fn wait(&self, name: &ContainerName) -> Observation {
        loop {
            let Ok(cell) = self.get(EngineCall::Wait, name) else { return Observation::Absent };
            cell.ended().await;
            // By name, so that an owner whose container was renamed away learns it. A container that was
            // started between the two looks is waited for again.
            match self.observe(name) {
                Observation::Running { .. } => {}
                ended @ (Observation::Absent
                | Observation::Created
                | Observation::Exited(_)
                | Observation::Unknown(_)) => return ended,
            }
        }
    }

    pub(super) fn list(&self, instance: InstanceId) -> Vec<Listed> {
        let table = self.lock();
        let ours = table.iter().filter(|(_, cell)| cell.plan.labels.instance == instance);
        ours.map(|(name, cell)| Listed {
            name: name.clone(),
            id: cell.id.clone(),
            labels: Some(cell.plan.labels.clone()),
            state: match cell.observe() {
                Observation::Created | Observation::Absent => ContainerState::Created,
                Observation::Running { .. } => ContainerState::Running,
                Observation::Exited(_) | Observation::Unknown(_) => ContainerState::Exited,
            },
            created_at: Some(cell.created_at),
            image_id: cell.plan.image.to_string(),
        })
        .collect()
    }

    pub(super) fn logs(&self, request: &LogRequest) -> LogLines {
        let call = EngineCall::Logs;
        let found = match &request.source {
            LogSource::Ours(name) => self.get(call, name).ok(),
            LogSource::Any(id) => self.all().into_iter().find(|cell| cell.id == *id),
        };
        match found {
            Some(cell) => cell.logs.read(request.after, request.follow),
            None => {
                let error = Error::NotFound { call, subject: request.source.as_str().to_owned() };
                stream::once(future::ready(Err(error))).boxed()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerName, Arc<Cell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
