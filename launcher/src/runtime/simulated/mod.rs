//! `SimulatedRuntime`: an engine on which nothing runs, for thousands of fake hosts in one process.
//!
//! Guarantees the rules of an engine (names, renames, states, signals, logs, waits) and nothing else: a
//! container "runs" for a while, as its plan or the options say, and costs one timer. [`Faults`] makes it
//! fail to order. It says of itself that it is simulated wherever it is shown.

mod behaviour;
mod faults;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    ops::RangeInclusive,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cyberbrain_core::{
    ids::InstanceId,
    spec::ImageRef,
    staging::{InventoryContainer, LogStream},
};
use futures::future::BoxFuture;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

pub use self::behaviour::Behaviour;
use self::behaviour::OnTerminate;
pub use self::faults::{Fault, FaultEffect, Faults};
use super::{
    Call, WorkerRuntime,
    error::{EngineCall, Error},
    identity::{EngineIdentity, HostAddress, RuntimeKind},
    in_memory::{Cell, Containers, Signal},
    logs::{LineEnd, LogLines, LogRequest},
    name::{ContainerId, ContainerName, ImageId},
    observe::{ImageOnEngine, Listed, Observation},
    plan::ContainerPlan,
};

/// Exit code of what SIGTERM and SIGKILL end.
const TERMINATED: i64 = 128 + 15;
const KILLED: i64 = 128 + 9;

/// A file that a successful container leaves in its output directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Plain file name.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What successful containers leave behind, by plan.
pub type Outputs = Arc<dyn Fn(&ContainerPlan) -> Vec<OutputFile> + Send + Sync>;

/// What the simulated engine is.
#[derive(Clone)]
pub struct SimulatedOptions {
    /// Distinguishes the simulated machines; part of every identity.
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u32,
    /// How long containers run whose plan does not say; each has its own time in this range, derived from
    /// its name, so that a run can be repeated.
    pub run: RangeInclusive<Duration>,
    /// Pinned images that it "has" beside the built-in one.
    pub images: BTreeSet<ImageId>,
    pub outputs: Option<Outputs>,
}

impl SimulatedOptions {
    /// A machine of this name with 16 CPUs and 64 GiB, whose containers run for 50 to 500 ms.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cpus: 16,
            memory_mib: 65_536,
            run: Duration::from_millis(50)..=Duration::from_millis(500),
            images: BTreeSet::new(),
            outputs: None,
        }
    }
}

impl fmt::Debug for SimulatedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An engine on which nothing runs.
#[derive(Debug)]
pub struct SimulatedRuntime {
    options: SimulatedOptions,
    containers: Containers,
    faults: Faults,
    images: Mutex<BTreeSet<ImageId>>,
    boots: AtomicU64,
}

impl SimulatedRuntime {
    /// Makes one.
    #[must_use]
    pub fn new(options: SimulatedOptions) -> Self {
        let images = Mutex::new(options.images.clone());
        let (containers, faults) = (Containers::default(), Faults::default());
        Self { options, containers, faults, images, boots: AtomicU64::new(1) }
    }

    /// The ID of the built-in image here: no executable is read.
    #[must_use]
    pub fn builtin_image() -> ImageId {
        ImageId::of_digest(&"51".repeat(32))
    }

    /// Where faults are ordered.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The container disappears, whatever it was doing: what an operator's `rm -f` does.
    pub fn vanish(&self, name: &ContainerName) {
        if let Some(cell) = self.containers.forget(name) {
            cell.end(KILLED, false);
        }
    }

    /// Everything that runs is killed: what the restart of an engine does.
    pub fn restart_engine(&self) {
        for cell in self.containers.all() {
            cell.end(KILLED, false);
        }
    }

    /// The same, and the machine has another boot id.
    pub fn reboot(&self) {
        self.restart_engine();
        self.boots.fetch_add(1, Ordering::Relaxed);
    }

    fn has_image(&self, image: &ImageId) -> bool {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).contains(image)
    }

    fn behaviour(&self, plan: &ContainerPlan) -> Result<Behaviour, String> {
        let (shortest, longest) = (*self.options.run.start(), *self.options.run.end());
        let mut hasher = DefaultHasher::new();
        plan.name.hash(&mut hasher);
        let share = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        let run = shortest + longest.saturating_sub(shortest).mul_f64(share);
        let text = plan.env.get(behaviour::VARIABLE).map_or("", String::as_str);
        Behaviour::running(run).overridden(text)
    }

    fn start_created(&self, name: &ContainerName) -> Result<(), Error> {
        let call = EngineCall::Start;
        let cell = self.containers.get(call, name)?;
        let behaviour = self
            .behaviour(&cell.plan)
            .map_err(|detail| Error::EntrypointInvalid { subject: name.to_string(), detail })?;
        let signals = cell.claim_start().map_err(|why| Error::Refused {
            call,
            subject: name.to_string(),
            why: why.to_owned(),
        })?;
        tokio::spawn(live(cell, behaviour, signals, self.options.outputs.clone()));
        Ok(())
    }

    async fn stop_gracefully(&self, name: &ContainerName, grace: Duration) -> Result<(), Error> {
        let call = EngineCall::Stop;
        let cell = self
            .faults
            .apply(call, name.as_str(), || {
                let cell = self.containers.get(call, name)?;
                cell.signal(Signal::Terminate);
                Ok(cell)
            })
            .await?;
        if timeout(grace, cell.ended()).await.is_err() {
            cell.signal(Signal::Kill);
            cell.ended().await;
        }
        Ok(())
    }

    async fn wait_until_ended(&self, name: &ContainerName) -> Observation {
        tokio::select! {
            biased;
            () = self.faults.broken() => {
                Observation::Unknown(faults::error(Fault::Unreachable, EngineCall::Wait, name.as_str()))
            }
            ended = self.containers.wait(name) => ended,
        }
    }
}

/// The life of one container.
async fn live(
    cell: Arc<Cell>,
    behaviour: Behaviour,
    mut signals: mpsc::Receiver<Signal>,
    outputs: Option<Outputs>,
) {
    for number in 1..=behaviour.log_lines {
        let line = format!("simulated line {number} of {}", behaviour.log_lines);
        cell.logs.push(LogStream::Stdout, Bytes::from(line), LineEnd::Newline);
    }
    let finished = sleep(behaviour.run);
    tokio::pin!(finished);
    loop {
        tokio::select! {
            () = &mut finished => break,
            () = cell.ended() => return,
            Some(signal) = signals.recv() => match (signal, behaviour.on_terminate) {
                (Signal::Kill, _) => return cell.end(KILLED, false),
                (Signal::Terminate, OnTerminate::Exit) => return cell.end(TERMINATED, false),
                (Signal::Terminate, OnTerminate::Ignore) => {}
            },
        }
    }
    if let (0, Some(outputs), Some(out)) = (behaviour.exit_code, outputs, &cell.plan.mounts.out) {
        for file in outputs(&cell.plan) {
            if let Err(error) = tokio::fs::write(out.join(&file.name), &file.bytes).await {
                tracing::error!(
                    file = file.name,
                    error = &error as &dyn std::error::Error,
                    "a simulated output can't be written"
                );
                return cell.end(1, false);
            }
        }
    }
    cell.end(behaviour.exit_code, behaviour.out_of_memory);
}

impl WorkerRuntime for SimulatedRuntime {
    fn identify(&self) -> Call<'_, EngineIdentity> {
        let name = &self.options.name;
        let identity = EngineIdentity {
            kind: RuntimeKind::Simulated,
            engine_id: format!("simulated:{name}"),
            engine_version: "simulated".to_owned(),
            machine_id: format!("simulated:{name}"),
            boot_id: format!("simulated:{name}:{}", self.boots.load(Ordering::Relaxed)),
            cpus: self.options.cpus,
            memory_mib: self.options.memory_mib,
        };
        Box::pin(self.faults.apply(EngineCall::Info, "engine", || Ok(identity)))
    }

    fn host_address(&self) -> Call<'_, HostAddress> {
        Box::pin(async { Ok(HostAddress::NobodyLooks) })
    }

    fn install_worker_image<'a>(&'a self, _executable: &'a Path) -> Call<'a, ImageId> {
        Box::pin(self.faults.apply(EngineCall::LoadImage, "builtin", || {
            let image = Self::builtin_image();
            self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(image.clone());
            Ok(image)
        }))
    }

    fn images(&self) -> Call<'_, Vec<ImageOnEngine>> {
        Box::pin(self.faults.apply(EngineCall::Images, "images", || {
            let images = self.images.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let builtin = Self::builtin_image();
            let tags =
                |id: &ImageId| if *id == builtin { vec![ImageRef::builtin().to_string()] } else { vec![] };
            let shown = images.iter().map(|id| ImageOnEngine {
                id: id.to_string(),
                tags: tags(id),
                digests: Vec::new(),
                size_bytes: 0,
                labels: BTreeMap::new(),
            });
            Ok(shown.collect())
        }))
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
        Box::pin(self.faults.apply(EngineCall::Create, plan.name.as_str(), || {
            plan.check()?;
            if !self.has_image(&plan.image) {
                return Err(Error::ImageMissing { image: plan.image.to_string() });
            }
            self.containers.create(plan)
        }))
    }

    fn rename<'a>(&'a self, from: &'a ContainerName, to: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.faults.apply(EngineCall::Rename, from.as_str(), || self.containers.rename(from, to)))
    }

    fn start<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.faults.apply(EngineCall::Start, name.as_str(), || self.start_created(name)))
    }

    fn stop<'a>(&'a self, name: &'a ContainerName, grace: Duration) -> Call<'a, ()> {
        Box::pin(self.stop_gracefully(name, grace))
    }

    fn kill<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.faults.apply(EngineCall::Kill, name.as_str(), || {
            self.containers.get(EngineCall::Kill, name)?.signal(Signal::Kill);
            Ok(())
        }))
    }

    fn remove<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.faults.apply(EngineCall::Remove, name.as_str(), || self.containers.remove(name)))
    }

    fn inspect<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            let observed = || Ok(self.containers.observe(name));
            self.faults
                .apply(EngineCall::Inspect, name.as_str(), observed)
                .await
                .unwrap_or_else(Observation::Unknown)
        })
    }

    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(self.wait_until_ended(name))
    }

    fn list_ours(&self, instance: InstanceId) -> Call<'_, Vec<Listed>> {
        Box::pin(
            self.faults.apply(EngineCall::List, "containers", move || Ok(self.containers.list(instance))),
        )
    }

    fn inventory(&self) -> Call<'_, Vec<InventoryContainer>> {
        Box::pin(self.faults.apply(EngineCall::List, "containers", || Ok(Vec::new())))
    }

    fn logs(&self, request: LogRequest) -> LogLines {
        self.containers.logs(&request)
    }
}
