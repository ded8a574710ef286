//! From a station to an agent: who the engine is, what it holds, and the one transaction that registers all of it.

use std::{path::Path, sync::Arc, time::Duration};

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
use cyberbrain_core::{audit::Operation, ids::LauncherId, spec::ImageRef, staging::GpuOrigin};
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
    gpu::{Gpu, GpuMonitor, Reading},
    layout::Layout,
    orders::Register,
    progress::ProgressSink,
    runtime::{ImageId, ImageOnEngine, RuntimeKind},
    station::Station,
};

/// How often a database that is not ready is asked again.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// How long the first look at the GPUs may take; a hung driver means a host without GPUs.
const FIRST_READING: Duration = Duration::from_secs(15);
/// How often GPUs are sampled.
const GPU_PERIOD: Duration = Duration::from_secs(2);

/// What all agents of a process share.
pub(crate) struct Shared {
    pub pool: Pool,
    pub instance: Instance,
    pub layout: Layout,
    pub limits: Limits,
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
                tracing::debug!(error = &error as &dyn std::error::Error, "still no database")
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

/// Registers one station.
pub(crate) async fn enlist(
    shared: &Shared,
    station: Station,
    labels: &std::collections::BTreeMap<String, String>,
    metrics_url: Option<&str>,
) -> Result<Enlisted, Error> {
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
    let launcher: LauncherId = fresh();
    let facts = HostFacts {
        engine_id: identity.engine_id.clone(),
        machine_id: identity.machine_id.clone(),
        name: station.name.clone(),
        boot_id: identity.boot_id.clone(),
        runtime: identity.kind.as_str(),
        labels: labels.clone(),
        cpu_millis: identity.cpus.saturating_mul(1_000).min(i32::MAX.unsigned_abs()),
        memory_mib: identity.memory_mib.min(i32::MAX.unsigned_abs()),
        max_attempts: shared.limits.attempts,
    };
    let (host, host_name) =
        register(shared, facts, &gpus, &on_engine, &worker_image, launcher, metrics_url, identity.kind)
            .await?;
    tracing::info!(host.name = host_name, host.id = %host, launcher.id = %launcher, gpus = gpus.len(), "registered");
    let agent = Agent {
        host,
        host_name,
        launcher,
        boot_id: identity.boot_id,
        instance: shared.instance.clone(),
        kind: identity.kind,
        runtime: Arc::clone(&station.runtime),
        worker_image,
        pool: shared.pool.clone(),
        layout: shared.layout.clone(),
        limits: shared.limits.clone(),
        register: Arc::new(Register::new(launcher)),
        progress: Arc::clone(&shared.progress),
        tasks: shared.tasks.clone(),
        freed: Arc::clone(&shared.freed),
        taking: Mutex::new(()),
        reconciled: watch::Sender::new(false),
        offers: Notify::new(),
        disorder: Notify::new(),
    };
    Ok(Enlisted { agent: Arc::new(agent), engine_id: identity.engine_id, monitor, station })
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

#[expect(clippy::too_many_arguments, reason = "one transaction writes all of these")]
async fn register(
    shared: &Shared,
    mut facts: HostFacts,
    gpus: &[Gpu],
    on_engine: &[ImageOnEngine],
    worker_image: &ImageId,
    launcher: LauncherId,
    metrics_url: Option<&str>,
    kind: RuntimeKind,
) -> Result<(cyberbrain_core::ids::HostId, String), Error> {
    let wanted = facts.name.clone();
    for number in 2.. {
        let launcher = LauncherFacts {
            id: launcher,
            // Filled in by the transaction.
            host: uuid::Uuid::nil().into(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            files_url: None,
            metrics_url: metrics_url.map(str::to_owned),
        };
        match try_register(shared, &facts, gpus, on_engine, worker_image, launcher).await {
            Ok(host) => return Ok((host, facts.name)),
            // Each launcher without an engine is an engine of its own, so several on one machine need names.
            Err(RegisterError::NameTaken { .. }) if kind == RuntimeKind::Process && number < 100 => {
                facts.name = format!("{}-{number}", &wanted[..wanted.len().min(59)]);
            }
            Err(error) => {
                refuse(shared, &facts, &error).await;
                return Err(error.into());
            }
        }
    }
    unreachable!("the loop ends by returning: its guard bounds the numbers")
}

async fn try_register(
    shared: &Shared,
    facts: &HostFacts,
    gpus: &[Gpu],
    on_engine: &[ImageOnEngine],
    worker_image: &ImageId,
    launcher: LauncherFacts,
) -> Result<cyberbrain_core::ids::HostId, RegisterError> {
    let mut connection = shared.pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let host = hosts::register(&mut tx, facts).await?;
    let rows: Vec<GpuFacts> = gpus.iter().map(gpu_facts).collect();
    gpus::register(&mut tx, host, &rows).await?;
    launchers::register(&mut tx, &LauncherFacts { host, ..launcher }).await?;
    let images = held_images(&mut tx, on_engine, worker_image).await?;
    hosts::record_images(&mut tx, host, &images).await?;
    tx.commit().await?;
    Ok(host)
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
