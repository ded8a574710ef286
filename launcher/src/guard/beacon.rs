//! The launcher's side of the guard: notes after each good contact, and the question whether there is a guard.

use std::{io, path::Path, sync::Arc};

use cyberbrain_common::{boot_clock, db::contact::GuardState};

use super::notes::{LauncherNote, Notes};
use crate::{agent::Agent, error::Error, runtime::RuntimeKind};

/// A guard whose note is older than this hangs.
const GUARD_FRESH_MS: u64 = 10_000;

/// Leaves the notes of one launcher process.
pub(crate) struct Beacon {
    notes: Notes,
    /// The agents whose containers outlive this process.
    agents: Vec<Watched>,
}

struct Watched {
    agent: Arc<Agent>,
    engine_id: String,
}

impl Beacon {
    /// # Errors
    /// The directory can't be made.
    pub(crate) fn new(data_dir: &Path, agents: &[(Arc<Agent>, String)]) -> Result<Self, Error> {
        let unusable = |source| Error::Directory { path: data_dir.join("guard"), source };
        let notes = Notes::open(data_dir).map_err(unusable)?;
        let outlives = |agent: &Agent| match agent.kind {
            RuntimeKind::Docker => true,
            // Gone with their launcher, or never there.
            RuntimeKind::Process | RuntimeKind::Simulated => false,
        };
        let agents = agents
            .iter()
            .filter(|(agent, _)| outlives(agent))
            .map(|(agent, engine_id)| Watched { agent: Arc::clone(agent), engine_id: engine_id.clone() })
            .collect();
        Ok(Self { notes, agents })
    }

    /// Whether a guard holds its lock, shows that it lives, and watches the same engine.
    pub(crate) fn guard(&self) -> GuardState {
        let Some(watched) = self.agents.first() else { return GuardState::Absent };
        let look = || -> io::Result<bool> {
            if !self.notes.is_locked()? {
                return Ok(false);
            }
            let Some(note) = self.notes.read_guard()? else { return Ok(false) };
            let fresh = boot_clock::now_ms().saturating_sub(note.seen_ms) <= GUARD_FRESH_MS;
            Ok(fresh && note.boot_id == watched.agent.boot_id && note.engine_id == watched.engine_id)
        };
        match look() {
            Ok(true) => GuardState::Present,
            Ok(false) => GuardState::Absent,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "whether there is a guard can't be seen"
                );
                GuardState::Absent
            }
        }
    }

    /// The database has answered a contact that was sent at this time.
    pub(crate) fn contacted(&self, sent_ms: u64) {
        for Watched { agent, engine_id } in &self.agents {
            let note = LauncherNote {
                instance: agent.instance.id,
                boot_id: agent.boot_id.clone(),
                engine_id: engine_id.clone(),
                contact_ms: sent_ms,
                attempts: agent.register.watched(),
            };
            if let Err(error) = self.notes.write_launcher(agent.launcher, &note) {
                // The guard then stops containers too early, never too late.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the note for the guard can't be written"
                );
            }
        }
    }

    /// Nothing of this process is left to watch.
    pub(crate) fn farewell(&self) {
        for Watched { agent, .. } in &self.agents {
            if let Err(error) = self.notes.remove_launcher(agent.launcher) {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the note for the guard could not be removed"
                );
            }
        }
    }
}
