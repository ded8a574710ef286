//! `DockerRuntime`: containers on a Docker engine (API 1.41 or later), through its socket.
//!
//! Guarantees: every call is bounded in time and counted; every container is made from [`config`], so there
//! is no way to make one without its hardening. Deliberately absent: any call that changes containers which are not ours.
//!
//! What was learned about engine and client, and is relied on here:
//! - The client's wait reports any exit code above zero as an error, and a broken connection as an empty
//!   stream. So the end of a wait says nothing; the inspection after it does.
//! - `start` on an exited container runs it again and says Ok. So it is inspected first.
//! - The client's own time-out covers the answer's head only. So each call has one of ours around it.

mod answer;
mod config;
mod containers;
mod images;
mod inventory;
mod logs;
mod network;
mod own;
mod pull;
mod wait;

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use bollard::{Docker, errors::Error as Bollard};
use cyberbrain_common::metric;
use cyberbrain_core::{ids::InstanceId, staging::InventoryContainer};
use futures::future::BoxFuture;
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};

use self::answer::Asked;
pub use self::config::GpuInjection;
use super::{
    Call, PullProgress, WorkerRuntime,
    error::{EngineCall, Error},
    identity::{EngineIdentity, HostAddress, RuntimeKind, boot_id, machine_id},
    logs::{LogLines, LogRequest},
    name::{ContainerId, ContainerName, ImageId},
    observe::{ImageOnEngine, Listed, Observation},
    plan::ContainerPlan,
};
use crate::registry_auth::Login;

/// Calls that only read.
const READ: Duration = Duration::from_secs(15);
/// Calls that make or change something. A loaded engine takes seconds for a start.
const CHANGE: Duration = Duration::from_secs(60);
/// Loading an image: a few hundred MiB through the socket and onto a disk.
const LOAD: Duration = Duration::from_secs(600);
/// A question to a registry, with its login.
const ASK_REGISTRY: Duration = Duration::from_secs(60);
/// Pulling an image: gigabytes over a home's line, within what an attempt may take to begin.
const PULL: Duration = Duration::from_secs(1_500);
/// A pull that says nothing for so long is broken off.
const PULL_STALL: Duration = Duration::from_secs(120);
/// The client's own limit must never be the one that strikes: a stop takes as long as its grace.
const CLIENT_LIMIT: Duration = Duration::from_secs(24 * 3_600);

/// How to reach the engine and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerOptions {
    /// `unix:///path` or `tcp://host:port`; absent means `DOCKER_HOST`, else the usual socket.
    pub host: Option<String>,
    pub gpu_injection: GpuInjection,
}

/// A Docker engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    docker: Docker,
    gpu_injection: GpuInjection,
}

impl DockerRuntime {
    /// Connects and settles on an API version.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Timeout`] if no engine answers.
    pub async fn connect(options: &DockerOptions) -> Result<Self, Error> {
        let subject = options.host.as_deref().unwrap_or("the default socket");
        let asked = Asked { call: EngineCall::Connect, subject };
        let docker = match &options.host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_defaults(),
        }
        .map_err(|error| asked.error(error))?
        .with_timeout(CLIENT_LIMIT);
        let docker = bounded(asked, READ, docker.negotiate_version()).await?;
        Ok(Self { docker, gpu_injection: options.gpu_injection })
    }

    /// What the engine's machine calls itself, as far as the engine knows.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn host_name(&self) -> Result<Option<String>, Error> {
        let asked = Asked { call: EngineCall::Info, subject: "engine" };
        Ok(bounded(asked, READ, self.docker.info()).await?.name)
    }

    async fn ask_identity(&self) -> Result<EngineIdentity, Error> {
        let asked = Asked { call: EngineCall::Info, subject: "engine" };
        let info = bounded(asked, READ, self.docker.info()).await?;
        let engine_id = info.id.filter(|id| !id.is_empty()).ok_or_else(|| Error::Engine {
            call: EngineCall::Info,
            subject: "engine".to_owned(),
            status: 200,
            message: "it does not say who it is (no ID)".to_owned(),
        })?;
        Ok(EngineIdentity {
            kind: RuntimeKind::Docker,
            engine_version: format!(
                "docker {}",
                info.server_version.as_deref().unwrap_or("of unknown version")
            ),
            machine_id: machine_id(&engine_id),
            engine_id,
            boot_id: boot_id(),
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1),
            memory_mib: info
                .mem_total
                .and_then(|bytes| u32::try_from(bytes / (1024 * 1024)).ok())
                .unwrap_or(0),
        })
    }
}

/// One call to the engine: bounded, measured, its error sorted.
async fn bounded<T>(
    asked: Asked<'_>,
    limit: Duration,
    call: impl Future<Output = Result<T, Bollard>> + Send,
) -> Result<T, Error> {
    let begun = Instant::now();
    let result = match timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(asked.error(error)),
        Err(_) => Err(asked.timeout(limit)),
    };
    histogram!(metric::DOCKER_REQUEST_SECONDS, "op" => asked.call.as_str())
        .record(begun.elapsed().as_secs_f64());
    if let Err(error) = &result {
        counter!(metric::DOCKER_REQUEST_ERRORS, "op" => asked.call.as_str(), "code" => error.code())
            .increment(1);
    }
    result
}

impl WorkerRuntime for DockerRuntime {
    fn identify(&self) -> Call<'_, EngineIdentity> {
        Box::pin(self.ask_identity())
    }

    fn host_address(&self) -> Call<'_, HostAddress> {
        Box::pin(self.bridge_gateway())
    }

    fn install_worker_image<'a>(&'a self, executable: &'a Path) -> Call<'a, ImageId> {
        Box::pin(async move {
            let recipe = crate::image::Recipe::builtin(executable);
            let image = tokio::task::spawn_blocking(move || crate::image::build(&recipe))
                .await
                .map_err(crate::image::Error::from)??;
            self.load_image(&Arc::new(image)).await
        })
    }

    fn images(&self) -> Call<'_, Vec<ImageOnEngine>> {
        Box::pin(self.list_images())
    }

    fn ask_registry<'a>(&'a self, image: &'a ImageId, login: Option<&'a Login>) -> Call<'a, ()> {
        Box::pin(self.ask_for_manifest(image, login))
    }

    fn pull<'a>(
        &'a self,
        image: &'a ImageId,
        login: Option<&'a Login>,
        told: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> Call<'a, ()> {
        Box::pin(self.pull_image(image, login, told))
    }

    fn create<'a>(&'a self, plan: &'a ContainerPlan) -> Call<'a, ContainerId> {
        Box::pin(self.create_container(plan))
    }

    fn rename<'a>(&'a self, from: &'a ContainerName, to: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.rename_container(from, to))
    }

    fn start<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.start_created(name))
    }

    fn stop<'a>(&'a self, name: &'a ContainerName, grace: Duration) -> Call<'a, ()> {
        Box::pin(self.stop_container(name, grace))
    }

    fn kill<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.kill_container(name))
    }

    fn remove<'a>(&'a self, name: &'a ContainerName) -> Call<'a, ()> {
        Box::pin(self.remove_container(name))
    }

    fn inspect<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(self.observe(name))
    }

    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Observation> {
        Box::pin(self.wait_until_ended(name))
    }

    fn list_ours(&self, instance: InstanceId) -> Call<'_, Vec<Listed>> {
        Box::pin(self.list_containers(instance))
    }

    fn inventory(&self) -> Call<'_, Vec<InventoryContainer>> {
        Box::pin(self.take_inventory())
    }

    fn logs(&self, request: LogRequest) -> LogLines {
        self.log_lines(&request)
    }
}
