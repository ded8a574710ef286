//! The contacts of one launcher process: one record for each of its hosts whose containers outlive it.

use std::{path::Path, sync::Arc};

use cyberbrain_common::db::contact::GuardState;

use super::contact::{Contact, EngineOnBoot};
use crate::{agent::Agent, error::Error, runtime::RuntimeKind};

/// Leaves the records of one launcher process.
pub(crate) struct Beacon(Vec<(Arc<Agent>, Contact)>);

impl Beacon {
    /// For these agents and the ids of their engines.
    ///
    /// # Errors
    /// The directory can't be made.
    pub(crate) fn new(data_dir: &Path, agents: &[(Arc<Agent>, String)]) -> Result<Self, Error> {
        let mut contacts = Vec::new();
        for (agent, engine_id) in agents {
            match agent.kind {
                RuntimeKind::Docker => {}
                // Gone with their launcher, or never there.
                RuntimeKind::Process | RuntimeKind::Simulated => continue,
            }
            let engine = EngineOnBoot { engine_id: engine_id.clone(), boot_id: agent.boot_id.clone() };
            let contact = Contact::new(data_dir, agent.launcher, agent.instance.id, engine)
                .map_err(|source| Error::Directory { path: data_dir.join("guard"), source })?;
            contacts.push((Arc::clone(agent), contact));
        }
        Ok(Self(contacts))
    }

    /// What to tell the database with the next contact. Lets the guard know of all attempts first, since nobody knows
    /// whether that contact will be answered.
    pub(crate) fn guard(&self) -> GuardState {
        let guarded = |(agent, contact): &(Arc<Agent>, Contact)| {
            let state = contact.note_attempts(agent.register.watched()).and_then(|()| contact.guard());
            match state {
                Ok(state) => state == GuardState::Present,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "whether there is a guard can't be seen"
                    );
                    false
                }
            }
        };
        let all = !self.0.is_empty() && self.0.iter().all(guarded);
        if all { GuardState::Present } else { GuardState::Absent }
    }

    /// The database has answered a contact that was sent at this time.
    pub(crate) fn contacted(&self, sent_ms: u64) {
        for (agent, contact) in &self.0 {
            if let Err(error) = contact.note(sent_ms, agent.register.watched()) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the record for the guard can't be written"
                );
            }
        }
    }

    /// Nothing of this process is left to watch.
    pub(crate) fn farewell(&self) {
        for (_, contact) in &self.0 {
            if let Err(error) = contact.farewell() {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the record for the guard could not be removed"
                );
            }
        }
    }
}
