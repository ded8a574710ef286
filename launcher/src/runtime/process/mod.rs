//! `ProcessRuntime`: the built-in worker as a child process, where no container engine answers.
//!
//! Guarantees the same answers by name as an engine, exit codes of the same form (128 + signal), logs in a
//! bounded buffer, and one process group per "container" that is killed as a whole.
//!
//! Deliberately weaker than an engine, and to be said aloud wherever it is used: no isolation, no limits on
//! CPU, memory or disk, no other images than the built-in one, no secrets and no model caches. **Its containers
//! live and die with this process**: they are killed when the runtime is dropped; after a `kill -9` of the launcher
//! the next one that takes over the same [`engine`] directory kills what is left before it says anything. A worker
//! can end sooner by itself: its standard input is a pipe that closes with the launcher.
//!
//! The worker finds what a container would have mounted through `CYBERBRAIN_INPUT_DIR`,
//! `CYBERBRAIN_OUTPUT_DIR` and `CYBERBRAIN_UPLOADS_DIR`.

mod child;
mod engine;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use cyberbrain_core::{ids::InstanceId, staging::InventoryContainer};
use futures::future::BoxFuture;
use tokio::time::timeout;

use self::engine::EngineDirectory;
use super::{
    Call, WorkerRuntime,
    error::{EngineCall, Error},
    identity::{EngineIdentity, HostAddress, RuntimeKind, boot_id, machine_id, meminfo_mib},
    in_memory::{Containers, Signal},
    logs::{LogLines, LogRequest},
    name::{ContainerId, ContainerName, ImageId},
    observe::{ImageOnEngine, Listed, Observation},
    plan::ContainerPlan,
};

/// How long the kernel may take to end what was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What is run: a fixed beginning of the command line, before the plan's own arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub executable: PathBuf,
    pub arguments: Vec<String>,
}

impl Program {
    /// This very executable as a worker, also after its file was replaced.
    #[must_use]
    pub fn builtin() -> Self {
        Self { executable: "/proc/self/exe".into(), arguments: vec!["worker".to_owned()] }
    }
}

/// Runs one program in processes of its own.
#[derive(Debug)]
pub struct ProcessRuntime {
    program: Program,
    containers: Containers,
    engine: Arc<EngineDirectory>,
    image: OnceLock<ImageId>,
}

impl ProcessRuntime {
    /// Takes over an engine identity below `state_directory` and ends what an earlier owner of it left.
    ///
    /// # Errors
    /// The directory can't be used, or leftover processes do not end.
    pub async fn connect(program: Program, state_directory: &Path) -> Result<Self, Error> {
        let engine = EngineDirectory::claim(state_directory).await?;
        Ok(Self {
            program,
            containers: Containers::default(),
            engine: Arc::new(engine),
            image: OnceLock::new(),
        })
    }

    fn create_checked(&self, plan: &ContainerPlan) -> Result<ContainerId, Error> {
        plan.check()?;
        if self.image.get() != Some(&plan.image) {
            return Err(Error::ImageMissing { image: plan.image.to_string() });
        }
        if !plan.mounts.secrets.is_empty() || !plan.mounts.caches.is_empty() {
            return Err(Error::Refused {
                call: EngineCall::Create,
                subject: plan.name.to_string(),
                why: "nothing can be mounted for a process: no secrets and no model caches".to_owned(),
            });
        }
        self.containers.create(plan)
    }

    fn start_created(&self, name: &ContainerName) -> Result<(), Error> {
        let call = EngineCall::Start;
        let cell = self.containers.get(call, name)?;
        let signals = cell.claim_start().map_err(|why| Error::Refused {
            call,
            subject: name.to_string(),
            why: why.to_owned(),
        })?;
        match child::spawn(&self.program, &cell.plan, &self.engine) {
            Ok(worker) => {
                tokio::spawn(child::supervise(worker, cell, signals));
                Ok(())
            }
            Err(error) => {
                cell.unclaim_start();
                Err(Error::EntrypointInvalid { subject: name.to_string(), detail: error.to_string() })
            }
        }
    }

    async fn stop_gracefully(&self, name: &ContainerName, grace: Duration) -> Result<(), Error> {
        let call = EngineCall::Stop;
        let cell = self.containers.get(call, name)?;
        cell.signal(Signal::Terminate);
        if timeout(grace, cell.ended()).await.is_ok() {
            return Ok(());
        }
        cell.signal(Signal::Kill);
        timeout(KILL_LIMIT, cell.ended()).await.map_err(|_| Error::Timeout {
            call,
            subject: name.to_string(),
            after: grace + KILL_LIMIT,
        })
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.engine.kill_children();
    }
}

impl WorkerRuntime for ProcessRuntime {
    fn identify(&self) -> Call<'_, EngineIdentity> {
        let engine_id = self.engine.id().to_owned();
        Box::pin(async move {
            Ok(EngineIdentity {
                kind: RuntimeKind::Process,
                engine_version: format!("process {}", env!("CARGO_PKG_VERSION")),
                machine_id: machine_id(&engine_id),
                engine_id,
                boot_id: boot_id(),
                cpus: std::thread::available_parallelism()
                    .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
                memory_mib: meminfo_mib("MemTotal").unwrap_or(0),
            })
        })
    }

    fn host_address(&self) -> Call<'_, HostAddress> {
        Box::pin(async { Ok(HostAddress::At(std::net::Ipv4Addr::LOCALHOST.into())) })
    }

    fn install_worker_image<'a>(&'a self, executable: &'a Path) -> Call<'a, ImageId> {
        Box::pin(async move {
            // The same content gets the same ID as on an engine, so that an allowlist needs no exception.
            let recipe = crate::image::Recipe::builtin(executable);
            let image = tokio::task::spawn_blocking(move || crate::image::build(&recipe))
                .await
                .map_err(crate::image::Error::from)??;
            Ok(self.image.get_or_init(|| image.id().clone()).clone())
        })
    }

    fn images(&self) -> Call<'_, Vec<ImageOnEngine>> {
        let builtin = self.image.get().map(|id| ImageOnEngine {
            id: id.to_string(),
            tags: vec![cyberbrain_core::spec::ImageRef::builtin().to_string()],
            digests: Vec::new(),
            size_bytes: 0,
            labels: std::collections::BTreeMap::new(),
        });
        Box::pin(async move { Ok(builtin.into_iter().collect()) })
    }

    fn ask_registry<'a>(
        &'a self,
        image: &'a ImageId,
        _login: Option<&'a crate::registry_auth::Login>,
    ) -> Call<'a, ()> {
        // There is no engine that could.
        Box::pin(async { Err(Error::ImageMissing { image: image.to_string() }) })
    }

    fn pull<'a>(
        &'a self,
        image: &'a ImageId,
        _login: Option<&'a crate::registry_auth::Login>,
        _told: &'a (dyn Fn(crate::runtime::PullProgress) + Send + Sync),
    ) -> Call<'a, ()> {
        // There is no engine that could.
        Box::pin(async { Err(Error::ImageMissing { image: image.to_string() }) })
    }

    fn create<'a>(&'a self, plan: &'a ContainerPlan) -> Call<'a, ContainerId> {
        Box::pin(async move { self.create_checked(plan) })
    }

    fn rename<'a>(&'a self, from: &'a ContainerName, to: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(async move { self.containers.rename(from, to) })
    }

    fn start<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(async move { self.start_created(name) })
    }

    fn stop<'a>(&'a self, name: &'a ContainerName, grace: Duration) -> Call<'a, ()> {
        Box::pin(self.stop_gracefully(name, grace))
    }

    fn kill<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(async move {
            self.containers.get(EngineCall::Kill, name)?.signal(Signal::Kill);
            Ok(())
        })
    }

    fn remove<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(async move { self.containers.remove(name) })
    }

    fn inspect<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(async move { self.containers.observe(name) })
    }

    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(self.containers.wait(name))
    }

    fn list_ours(&self, instance: InstanceId) -> Call<'_, Vec<Listed>> {
        Box::pin(async move { Ok(self.containers.list(instance)) })
    }

    fn inventory(&self) -> Call<'_, Vec<InventoryContainer>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn logs(&self, request: LogRequest) -> LogLines {
        self.containers.logs(&request)
    }
}
