//! What the audit trail records: the closed list of operations and who did them.

use std::fmt;

use crate::text_enum;

text_enum! {
    /// One kind of audited step. `spawn`, `start`, `stop`, `remove` and `error` keep the spelling of the system
    /// that this one replaces.
    Operation("audit operation") {
        /// A Run with its RunJobs was accepted and stored.
        Submit = "submit",
        /// A RunJob got a place.
        Assign = "assign",
        /// A RunJob got a CPU place although it would have used a GPU.
        Fallback = "fallback",
        /// A request, an image or a placement was refused.
        Refuse = "refuse",
        /// A launcher took an offer.
        Accept = "accept",
        /// Inputs were staged for a worker.
        Stage = "stage",
        /// A container was created.
        Spawn = "spawn",
        /// A container was started.
        Start = "start",
        /// A container was asked to stop, or ended by itself.
        Stop = "stop",
        /// A container was removed and its resources were given back, or retention removed files of a Run.
        Remove = "remove",
        /// Something failed that no other operation names.
        Error = "error",
        /// A launcher took over an attempt from one that fell silent.
        Adopt = "adopt",
        /// An attempt was given up: its host or its owner is gone.
        Lost = "lost",
        /// A RunJob goes back into the queue after a failed attempt.
        Retry = "retry",
        /// A Run or RunJob was asked to be cancelled.
        Cancel = "cancel",
        /// A RunJob or a Run reached its terminal state.
        Finish = "finish",
        /// A person changed something: cordon, allowlist, directive, key.
        Change = "change",
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of an API key, by the key's name.
    Key(String),
    /// A role of this system, e.g. `scheduler` or `launcher`.
    System(&'static str),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key:{name}"),
            Self::System(role) => write!(f, "system:{role}"),
        }
    }
}
