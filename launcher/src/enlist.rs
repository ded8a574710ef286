//! From a station to an agent: who the engine is, what it holds, and the one transaction that registers all of it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{
        self, Conn, Pool,
        audit::{self, Entry},
        gpus::{self, GpuFacts},
        hosts::{self, HostFacts, HostImage, RegisterError},
        instance::{self, Instance},
        launchers::{self, LauncherFacts},
        staging::{AllowedImage, allowed_images},
    },
    ids::fresh,
    wake::Debouncer,
};
use cyberbrain_core::{
    audit::Operation,
    ids::{HostId, InstanceId, LauncherId},
    spec::ImageRef,
    staging::GpuOrigin,
};
use sqlx::Connection;
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent::{Agent, Limits},
    args::LimitArgs,
    error::Error,
    gateway::Access,
    gpu::{Gpu, GpuMonitor, Reading},
    grants::Grants,
    layout::{Layout, Translation},
    orders::Register,
    preflight::Ground,
    progress::ProgressSink,
    runtime::{EngineIdentity, ImageId, ImageOnEngine, RuntimeKind},
    station::Station,
};

/// How often a database that is not ready is asked again.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// How long the first look at the GPUs may take; a hung driver means a host without GPUs.
const FIRST_READING: Duration = Duration::from_secs(15);
/// How often GPUs are sampled.
const GPU_PERIOD: Duration = Duration::from_secs(2);
/// Hosts of one name that are told apart by a number.
const MAX_NAMES: u32 = 64;

/// What all agents of a process share.
pub(crate) struct Shared {
    pub pool: Pool,
    pub instance: Instance,
    /// Where the api finds our file server.
    pub files_url: String,
    pub layout: Layout,
    pub limits: Limits,
    pub grants: Grants,
    pub gateway: Option<Access>,
    pub progress: Arc<ProgressSink>,
    pub freed: Arc<Debouncer>,
    pub tasks: TaskTracker,
}

/// A registered host.
pub(crate) struct Enlisted {
    pub agent: Arc<Agent>,
    pub engine_id: String,
    pub monitor: GpuMonitor,
    pub station: Station,
}

/// Waits until the database can be used; `None` if told to stop first.
pub(crate) async fn await_database(pool: &Pool, shutdown: &CancellationToken) -> Option<Instance> {
    let mut told = false;
    loop {
        let look = async {
            let mut connection = pool.acquire().await?;
            if db::pending_migrations(&mut connection).await? > 0 {
                return Ok(None);
            }
            instance::read(&mut connection).await.map(Some)
        };
        let looked: Result<Option<Instance>, db::Error> = look.await;
        match looked {
            Ok(Some(instance)) => return Some(instance),
            Ok(None) if told => {}
            Ok(None) => tracing::info!("waiting for the database to be migrated"),
            Err(error) if told => {
                tracing::debug!(error = &error as &dyn std::error::Error, "still no database");
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database does not answer, waiting for it"
                );
            }
        }
        told = true;
        tokio::select! {
            () = sleep(DATABASE_RETRY) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

impl From<&LimitArgs> for Limits {
    fn from(args: &LimitArgs) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            attempts: args.max_workers,
            kept_log_bytes: u64::from(args.log_keep_mib) * MIB,
            log_quota_bytes: u64::from(args.log_quota_mib) * MIB,
            staged_log_bytes: u64::from(args.staged_log_mib) * MIB,
            artifact_files: args.artifact_files as usize,
            artifact_bytes: u64::from(args.artifact_mib) * MIB,
        }
    }
}

/// A station that has been looked at, and not registered yet.
pub(crate) struct Prepared {
    station: Station,
    identity: EngineIdentity,
    worker_image: ImageId,
    on_engine: Vec<ImageOnEngine>,
    layout: Layout,
    monitor: GpuMonitor,
    gpus: Vec<Gpu>,
}

/// Looks at one station: its engine, its images, its GPUs.
pub(crate) async fn prepare(shared: &Shared, station: Station) -> Result<Prepared, Error> {
    let identity = station.runtime.identify().await?;
    let worker_image = station.runtime.install_worker_image(&station.executable).await?;
    tracing::info!(
        engine = identity.engine_version, cpus = identity.cpus, memory_mib = identity.memory_mib,
        image = %worker_image, "engine ready"
    );
    let on_engine = station.runtime.images().await?;
    let probe = station.gpus.clone();
    let mut monitor = GpuMonitor::start(move || probe.open(), GPU_PERIOD).map_err(Error::Thread)?;
    let gpus = first_look(&mut monitor).await;
    let translation = Translation::from_mounts(station.mounts.clone());
    let layout = Layout { translation, ..shared.layout.clone() };
    Ok(Prepared { station, identity, worker_image, on_engine, layout, monitor, gpus })
}

impl Prepared {
    /// What its workers would stand on.
    pub(crate) fn ground(&self, instance: InstanceId) -> Ground<'_> {
        Ground {
            kind: self.identity.kind,
            runtime: self.station.runtime.as_ref(),
            instance,
            image: &self.worker_image,
            layout: &self.layout,
        }
    }

    /// Registers host, launcher, GPUs and images in one transaction.
    pub(crate) async fn register(
        self,
        shared: &Shared,
        labels: &BTreeMap<String, String>,
        metrics_url: Option<&str>,
    ) -> Result<Enlisted, Error> {
        let identity = &self.identity;
        let mut facts = HostFacts {
            engine_id: identity.engine_id.clone(),
            machine_id: identity.machine_id.clone(),
            name: self.station.name.clone(),
            boot_id: identity.boot_id.clone(),
            runtime: identity.kind.as_str(),
            labels: labels.clone(),
            cpu_millis: identity.cpus.saturating_mul(1_000).min(i32::MAX.unsigned_abs()),
            memory_mib: identity.memory_mib.min(i32::MAX.unsigned_abs()),
            max_attempts: shared.limits.attempts,
        };
        let launcher = fresh();
        let host = self.register_as(shared, &mut facts, launcher, metrics_url).await?;
        let host_name = facts.name;
        tracing::info!(host.name = host_name, host.id = %host, launcher.id = %launcher, gpus = self.gpus.len(), "registered");
        let agent = Agent {
            host,
            host_name,
            launcher,
            boot_id: self.identity.boot_id,
            instance: shared.instance.clone(),
            kind: self.identity.kind,
            runtime: Arc::clone(&self.station.runtime),
            worker_image: self.worker_image,
            pool: shared.pool.clone(),
            layout: self.layout,
            limits: shared.limits.clone(),
            grants: shared.grants.clone(),
            gateway: shared.gateway.clone(),
            register: Arc::new(Register::new(launcher)),
            progress: Arc::clone(&shared.progress),
            tasks: shared.tasks.clone(),
            freed: Arc::clone(&shared.freed),
            taking: Mutex::new(()),
            reconciled: watch::Sender::new(false),
            offers: Notify::new(),
            disorder: Notify::new(),
        };
        Ok(Enlisted {
            agent: Arc::new(agent),
            engine_id: self.identity.engine_id,
            monitor: self.monitor,
            station: self.station,
        })
    }

    /// Registers under the wanted name, or under one that is free where that is ours to choose; `facts` says which.
    async fn register_as(
        &self,
        shared: &Shared,
        facts: &mut HostFacts,
        launcher: LauncherId,
        metrics_url: Option<&str>,
    ) -> Result<HostId, Error> {
        let wanted = facts.name.clone();
        let mut number = 1;
        loop {
            let error = match self.try_register(shared, facts, launcher, metrics_url).await {
                Ok(host) => return Ok(host),
                Err(error) => error,
            };
            number += 1;
            match error {
                // Each launcher without an engine is an engine of its own, so several on one machine need names.
                RegisterError::NameTaken { .. }
                    if self.identity.kind == RuntimeKind::Process && number <= MAX_NAMES =>
                {
                    facts.name = format!("{}-{number}", &wanted[..wanted.len().min(59)]);
                }
                error => {
                    refuse(shared, facts, &error).await;
                    return Err(error.into());
                }
            }
        }
    }

    async fn try_register(
        &self,
        shared: &Shared,
        facts: &HostFacts,
        launcher: LauncherId,
        metrics_url: Option<&str>,
    ) -> Result<HostId, RegisterError> {
        let mut connection = shared.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        let host = hosts::register(&mut tx, facts).await?;
        let rows: Vec<GpuFacts> = self.gpus.iter().map(gpu_facts).collect();
        gpus::register(&mut tx, host, &rows).await?;
        let launcher = LauncherFacts {
            id: launcher,
            host,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            files_url: Some(shared.files_url.clone()),
            metrics_url: metrics_url.map(str::to_owned),
            logs_root: self.layout.root,
        };
        launchers::register(&mut tx, &launcher).await?;
        let images = held_images(&mut tx, &self.on_engine, &self.worker_image).await?;
        hosts::record_images(&mut tx, host, &images).await?;
        tx.commit().await?;
        Ok(host)
    }
}

async fn first_look(monitor: &mut GpuMonitor) -> Vec<Gpu> {
    match timeout(FIRST_READING, monitor.next()).await {
        Ok(Some(reading)) => {
            let Reading { status, gpus, .. } = reading.as_ref();
            tracing::info!(?status, gpus = gpus.len(), "looked for GPUs");
            gpus.clone()
        }
        Ok(None) | Err(_) => {
            tracing::warn!(
                "the GPU driver does not answer; this host has no GPUs until the launcher is started again"
            );
            Vec::new()
        }
    }
}

/// The refusal is for people, who look into the audit trail.
async fn refuse(shared: &Shared, facts: &HostFacts, error: &RegisterError) {
    let written = async {
        let entry =
            Entry::new(Operation::Refuse, &Agent::actor()).host(facts.name.clone()).failed(error.to_string());
        audit::write(&mut *shared.pool.acquire().await?, entry).await
    };
    match error {
        RegisterError::NameTaken { .. } | RegisterError::GpuTaken { .. } => {
            if let Err(error) = written.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the refusal is not on record");
            }
        }
        RegisterError::Db(_) => {}
    }
}

fn gpu_facts(gpu: &Gpu) -> GpuFacts {
    GpuFacts {
        uuid: gpu.uuid.clone(),
        index: gpu.index,
        model: gpu.model.clone(),
        simulated: gpu.origin == GpuOrigin::Simulated,
        total_mib: gpu.total_mib,
        allocatable_mib: gpu.allocatable_mib.min(gpu.total_mib),
    }
}

/// Which allow-listed images the engine holds.
pub(crate) async fn held_images(
    connection: &mut Conn,
    on_engine: &[ImageOnEngine],
    worker_image: &ImageId,
) -> Result<Vec<HostImage>, db::Error> {
    let held = |reference: ImageRef, allowed: AllowedImage| {
        let image_id = match allowed {
            AllowedImage::Builtin => worker_image.to_string(),
            AllowedImage::Pinned(pin) => {
                let found = on_engine.iter().find(|image| image.id == pin || image.digests.contains(&pin))?;
                found.id.clone()
            }
        };
        Some(HostImage { name: reference.name, tag: reference.tag, image_id })
    };
    let allowed = allowed_images(connection).await?;
    Ok(allowed.into_iter().filter_map(|(reference, allowed)| held(reference, allowed)).collect())
}

/// Makes a directory that must be there.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Directory { path: path.to_owned(), source })
}
