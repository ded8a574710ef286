//! The role `guard`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args as ClapArgs;
use cyberbrain_common::{
    boot_clock,
    config::{DirectoryArgs, SupervisionArgs, TelemetryArgs},
    metric, ready, telemetry,
};
use cyberbrain_core::{
    ids::{AttemptId, InstanceId},
    spec::Timeouts,
    staging::ContainerState,
    watch::{
        SILENT_AFTER,
        guard::{Judgement, judge},
    },
};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::notes::{GuardNote, LauncherNote, Notes, WatchedAttempt};
use crate::runtime::{
    self, ContainerName, DockerOptions, DockerRuntime, EngineIdentity, GpuInjection, Labels, Listed, Purpose,
    WorkerRuntime,
};

const PERIOD: Duration = Duration::from_secs(1);
/// Pause before the lock or the engine is asked for again.
const RETRY: Duration = Duration::from_secs(2);

/// Stops this host's workers when the host is out of contact for too long.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub directories: DirectoryArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub supervision: SupervisionArgs,
    /// Address of the container engine [default: the usual socket]
    #[arg(long, env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
}

/// Why a guard can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("logs or metrics can't be set up")]
    Telemetry(#[from] telemetry::Error),
    #[error("{} can't be used; choose another directory with --data-dir", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the ready file can't be written")]
    Announce(#[source] io::Error),
}

/// Guards until `shutdown`. Waits while another guard of this host lives, and while the engine does not answer.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let telemetry = telemetry::init(&args.telemetry, "guard").await?;
    let data_dir = &args.directories.data_dir;
    let unusable = |source| Error::Directory { path: data_dir.join("guard"), source };
    let notes = Notes::open(data_dir).map_err(unusable)?;
    let announce = || {
        let ready =
            ready::Ready { metrics_url: Some(telemetry.metrics_url.clone()), ..ready::Ready::of("guard") };
        ready::announce(args.supervision.ready_file.as_deref(), &ready).map_err(Error::Announce)
    };
    let mut waiting = false;
    let _lock = loop {
        match notes.lock().map_err(unusable)? {
            Some(lock) => break lock,
            None if waiting => {}
            None => {
                tracing::info!("another guard watches this host; waiting to take its place");
                waiting = true;
                announce()?;
            }
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    };
    let options =
        DockerOptions { host: args.docker_host.clone(), gpu_injection: GpuInjection::DeviceRequests };
    let Some((engine, identity)) = reach(&options, &shutdown).await else { return Ok(()) };
    announce()?;
    tracing::info!(directory = %notes.path().display(), engine = identity.engine_id, "guarding this host");
    watch(&notes, &engine, &identity, shutdown).await;
    Ok(())
}

async fn reach(
    options: &DockerOptions,
    shutdown: &CancellationToken,
) -> Option<(Arc<dyn WorkerRuntime>, EngineIdentity)> {
    let mut told = false;
    loop {
        let reached = async {
            let engine: Arc<dyn WorkerRuntime> = Arc::new(DockerRuntime::connect(options).await?);
            let identity = engine.identify().await?;
            Ok::<_, runtime::Error>((engine, identity))
        };
        match reached.await {
            Ok(reached) => return Some(reached),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the container engine does not answer, waiting for it"
                    );
                }
            }
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

/// Looks once a second.
pub(super) async fn watch(
    notes: &Notes,
    engine: &Arc<dyn WorkerRuntime>,
    identity: &EngineIdentity,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = BTreeSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let now_ms = boot_clock::now_ms();
        let note = GuardNote {
            boot_id: identity.boot_id.clone(),
            engine_id: identity.engine_id.clone(),
            seen_ms: now_ms,
        };
        if let Err(error) = notes.write_guard(&note) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the guard's note can't be written");
        }
        let launchers = match notes.read_launchers() {
            Ok(launchers) => launchers,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the launchers' notes can't be read"
                );
                continue;
            }
        };
        for (instance, silence, watched) in silences(launchers, identity, now_ms) {
            metrics::gauge!(metric::GUARD_SILENCE).set(silence.as_secs_f64());
            if silence < SILENT_AFTER {
                stopping.clear();
                continue;
            }
            stop_due(engine, instance, silence, &watched, &mut stopping).await;
        }
    }
}

type Watched = BTreeMap<AttemptId, WatchedAttempt>;

/// How long each instance has been out of contact, by its newest note, and what its launchers watch.
fn silences(
    launchers: Vec<(PathBuf, LauncherNote)>,
    identity: &EngineIdentity,
    now_ms: u64,
) -> Vec<(InstanceId, Duration, Watched)> {
    let mut by_instance: BTreeMap<InstanceId, (u64, Watched)> = BTreeMap::new();
    for (path, note) in launchers {
        if note.boot_id != identity.boot_id || note.engine_id != identity.engine_id {
            // Another boot or another engine: what it watched can't be here.
            let _ = std::fs::remove_file(path);
            continue;
        }
        let (contact_ms, watched) = by_instance.entry(note.instance).or_default();
        *contact_ms = note.contact_ms.max(*contact_ms);
        watched.extend(note.attempts.into_iter().map(|attempt| (attempt.attempt, attempt)));
    }
    by_instance
        .into_iter()
        .map(|(instance, (contact_ms, watched))| {
            (instance, Duration::from_millis(now_ms.saturating_sub(contact_ms)), watched)
        })
        .collect()
}

/// Stops every worker whose time is up.
async fn stop_due(
    engine: &Arc<dyn WorkerRuntime>,
    instance: InstanceId,
    silence: Duration,
    watched: &Watched,
    stopping: &mut BTreeSet<ContainerName>,
) {
    let listed = match engine.list_ours(instance).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the engine can't list containers");
            return;
        }
    };
    for container in listed {
        let Some(grace) = due(&container, silence, watched) else { continue };
        if !stopping.insert(container.name.clone()) {
            continue;
        }
        tracing::error!(container.name = %container.name, silence_s = silence.as_secs(), "out of contact for too long: stopping a worker");
        metrics::counter!(metric::GUARD_STOPS).increment(1);
        let engine = Arc::clone(engine);
        tokio::spawn(async move {
            if let Err(error) = engine.stop(&container.name, grace).await {
                tracing::error!(container.name = %container.name, error = &error as &dyn std::error::Error, "the worker could not be stopped");
            }
        });
    }
}

/// The grace of a worker whose time is up.
fn due(container: &Listed, silence: Duration, watched: &Watched) -> Option<Duration> {
    let Some(Labels { purpose: Purpose::Worker(worker), .. }) = &container.labels else { return None };
    match container.state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => {}
        ContainerState::Created
        | ContainerState::Exited
        | ContainerState::Removing
        | ContainerState::Dead => {
            return None;
        }
    }
    let usual = Timeouts::default();
    let rule = watched.get(&worker.attempt_id).copied().unwrap_or(WatchedAttempt {
        attempt: worker.attempt_id,
        // Taken after the last note: the usual limits.
        host_lost_seconds: Some(usual.host_lost_seconds),
        stop_grace_seconds: usual.stop_grace_seconds,
    });
    let limit = Duration::from_secs(rule.host_lost_seconds?.into());
    let grace = Duration::from_secs(rule.stop_grace_seconds.into());
    match judge(silence, limit, grace) {
        Judgement::Stop => Some(grace),
        Judgement::Keep { .. } => None,
    }
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
