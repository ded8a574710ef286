//! `WorkerRuntime`: what drives containers, and nothing about why.
//!
//! Three implementations: [`DockerRuntime`] (the product), [`ProcessRuntime`] (the built-in worker as child
//! processes, where no engine answers) and [`SimulatedRuntime`] (nothing runs; for tests and load). One suite
//! of behaviour tests holds all three to the same rules:
//!
//! - Containers are addressed by *name*, and the name carries the fence; see [`ContainerName`].
//! - `start` starts only what was never started. An engine's own start would run an exited container again.
//! - Every call ends: with an answer, or with [`Error::Timeout`]. A future may be dropped at any point; what
//!   it had sent to the engine may still happen.
//! - An error says by [`Error::effect`] whether the call may have happened nevertheless.
//! - Exit codes are not errors.
//!
//! Deliberately absent: the order of steps, retries, fencing decisions and the database. That is supervision.

mod docker;
mod error;
#[cfg(test)]
mod fixtures;
mod identity;
mod in_memory;
mod labels;
mod logs;
mod name;
mod observe;
mod plan;
mod process;
mod simulated;

use std::{fmt, path::Path, time::Duration};

use cyberbrain_core::{ids::InstanceId, staging::InventoryContainer};
use futures::future::BoxFuture;

use crate::registry_auth::Login;

pub use docker::{DockerOptions, DockerRuntime, GpuInjection};
pub use error::{Effect, EngineCall, Error, Source};
pub(crate) use identity::meminfo_mib;
pub use identity::{EngineIdentity, HostAddress, RuntimeKind};
pub use labels::{Labels, Purpose, WorkerLabels};
pub use logs::{Follow, LineEnd, LogLine, LogLines, LogRequest, LogSource, MAX_LINE_BYTES};
pub use name::{ContainerId, ContainerName, ImageId};
pub use observe::{Exit, ImageOnEngine, Listed, Observation};
pub use plan::{Access, CacheMount, ContainerPlan, Mounts, PlanError, SecretMount, User};
pub use process::{ProcessRuntime, Program};
pub use simulated::{Behaviour, Fault, FaultEffect, Faults, OutputFile, SimulatedOptions, SimulatedRuntime};

/// The answer of a runtime, some time from now.
pub type Call<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// How much of an image is there, as far as its layers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// Drives containers on one engine.
pub trait WorkerRuntime: fmt::Debug + Send + Sync {
    /// Asks the engine who it is; also the way to find out whether it answers.
    fn identify(&self) -> Call<'_, EngineIdentity>;

    /// Where workers on the network see this machine.
    fn host_address(&self) -> Call<'_, HostAddress>;

    /// Makes the built-in worker image from this executable and sees to it that the engine has it.
    fn install_worker_image<'a>(&'a self, executable: &'a Path) -> Call<'a, ImageId>;

    /// The images that the engine holds.
    fn images(&self) -> Call<'_, Vec<ImageOnEngine>>;

    /// Has the engine ask the registry whether it gives us this digest, whatever the engine itself holds.
    fn ask_registry<'a>(&'a self, image: &'a ImageId, login: Option<&'a Login>) -> Call<'a, ()>;

    /// Has the engine fetch an image by its digest, and says how far it is. Ends within half an hour.
    fn pull<'a>(
        &'a self,
        image: &'a ImageId,
        login: Option<&'a Login>,
        told: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> Call<'a, ()>;

    /// Makes the container, not started.
    fn create<'a>(&'a self, plan: &'a ContainerPlan) -> Call<'a, ContainerId>;

    /// Gives the container another name: how an adopter takes it over. Works in every state.
    fn rename<'a>(&'a self, from: &'a ContainerName, to: &'a ContainerName) -> Call<'a, ()>;

    /// Starts it, if it was never started; [`Error::Refused`] otherwise.
    fn start<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()>;

    /// SIGTERM, then SIGKILL after `grace`; returns when it has ended. `Ok` if it was not running. In its
    /// first seconds a container may get SIGTERM twice.
    fn stop<'a>(&'a self, name: &'a ContainerName, grace: Duration) -> Call<'a, ()>;

    /// SIGKILL. `Ok` if it was not running. May return before the process is gone.
    fn kill<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()>;

    /// Removes it, with its logs; [`Error::Refused`] while it runs.
    fn remove<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()>;

    /// What is known of it now. A failed call is [`Observation::Unknown`].
    fn inspect<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation>;

    /// Waits until it does not run, then says what is known of it: [`Observation::Exited`] if all went
    /// well, `Created` at once if it was never started, `Absent` if it is gone or renamed, `Unknown` if the
    /// engine stopped answering. Never `Running`. It waits as long as the container runs.
    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation>;

    /// Every container that carries this instance's label, in whatever state.
    fn list_ours(&self, instance: InstanceId) -> Call<'_, Vec<Listed>>;

    /// Every container of the engine, ours or not, with the names of others that it mentions. Empty where
    /// there is no engine.
    fn inventory(&self) -> Call<'_, Vec<InventoryContainer>>;

    /// Log lines, from both streams. Errors come in the stream.
    fn logs(&self, request: LogRequest) -> LogLines;
}
