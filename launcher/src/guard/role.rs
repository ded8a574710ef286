//! The role `guard`: one per host, then the engine, then the watch.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args as ClapArgs;
use cyberbrain_common::{
    config::{DirectoryArgs, SupervisionArgs, TelemetryArgs},
    ready, telemetry,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    lock::{self, Taken},
    record::Records,
    watchman::watch,
};
use crate::runtime::{self, DockerOptions, DockerRuntime, EngineIdentity, GpuInjection, WorkerRuntime};

/// Pause before the engine is tried again.
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
    #[error("a guard{} watches over {} already; one is enough for all launchers of a host", process(*pid), path.display())]
    Guarded { path: PathBuf, pid: Option<u32> },
    #[error("the ready file can't be written")]
    Announce(#[source] io::Error),
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Guards until `shutdown`. While no engine answers it waits for one.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let telemetry = telemetry::init(&args.telemetry, "guard").await?;
    let records = Records::of(&args.directories.data_dir);
    let path = records.directory().to_owned();
    let unusable = |source| Error::Directory { path: path.clone(), source };
    records.create().map_err(unusable)?;
    let _lock = match lock::take(&path).await.map_err(unusable)? {
        Taken::Ours(lock) => lock,
        Taken::Theirs { pid } => return Err(Error::Guarded { path, pid }),
    };
    let ready =
        ready::Ready { metrics_url: Some(telemetry.metrics_url.clone()), ..ready::Ready::of("guard") };
    ready::announce(args.supervision.ready_file.as_deref(), &ready).map_err(Error::Announce)?;
    let options = DockerOptions { host: args.docker_host, gpu_injection: GpuInjection::DeviceRequests };
    let Some((engine, identity)) = reach(&options, &shutdown).await else { return Ok(()) };
    tracing::info!(directory = %path.display(), engine.id = identity.engine_id, "guarding this host");
    watch(&records, &engine, identity, shutdown).await;
    Ok(())
}

/// The engine, once it answers; `None` if `shutdown` comes first.
async fn reach(
    options: &DockerOptions,
    shutdown: &CancellationToken,
) -> Option<(Arc<dyn WorkerRuntime>, EngineIdentity)> {
    let mut told = false;
    loop {
        let reached = async {
            let engine = DockerRuntime::connect(options).await?;
            let identity = engine.identify().await?;
            Ok::<_, runtime::Error>((Arc::new(engine) as Arc<dyn WorkerRuntime>, identity))
        };
        let reached = tokio::select! {
            reached = reached => reached,
            () = shutdown.cancelled() => return None,
        };
        match reached {
            Ok(reached) => return Some(reached),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "no container engine answers; guarding nothing until one does"
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
