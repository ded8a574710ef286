//! What an engine says about containers and images.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::staging::ContainerState;

use super::{
    error::Error,
    labels::Labels,
    name::{ContainerId, ContainerName},
};

/// What is known of the container with a given name, right now.
///
/// Only `Absent` and `Exited` prove that nothing runs under that name *on this engine*. `Unknown` proves
/// nothing at all: ask again.
#[derive(Debug)]
pub enum Observation {
    /// No container has this name. For an owner whose container was renamed away this is the fence.
    Absent,
    /// It was never started.
    Created,
    /// Its process lives (or is paused).
    Running { started_at: Option<DateTime<Utc>> },
    /// It was started and has ended.
    Exited(Exit),
    /// The engine did not answer, or in a way that says neither.
    Unknown(Error),
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code of the process; 128 + n if signal n ended it. On an engine 127 and 126 also mean that the
    /// command does not exist or can't be executed: its init says so on stderr (`[FATAL tini …`).
    pub code: i64,
    /// The kernel killed a process of it for lack of memory. May also be true when only a child died, and
    /// the code is then the main process's own.
    pub oom_killed: bool,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A container of ours, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// An operator may have renamed it: [`ContainerName::owner`] is `None` then.
    pub name: ContainerName,
    pub id: ContainerId,
    /// `None` if it carries our instance label but not the others in their form.
    pub labels: Option<Labels>,
    pub state: ContainerState,
    pub created_at: Option<DateTime<Utc>>,
    /// ID of its image, as the engine resolved it.
    pub image_id: String,
}

/// An image that the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOnEngine {
    /// `sha256:…`.
    pub id: String,
    /// `name:tag`, as many as point to it.
    pub tags: Vec<String>,
    /// `name@sha256:…`, as many as it was pulled by.
    pub digests: Vec<String>,
    pub size_bytes: u64,
    pub labels: BTreeMap<String, String>,
}
