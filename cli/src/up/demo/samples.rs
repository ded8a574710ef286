//! Two real containers whose logs the demo's triage reads: they log like a web service and a database, with planted
//! faults, and then idle.
//!
//! They belong to the installation (its label) but not to any Run, so launchers leave them alone. Without a container
//! engine there are none, and that is said.

use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use chrono::DateTime;
use cyberbrain_common::db::{
    self, PoolSize,
    allowlist::{self, AllowedContainer},
    instance,
};
use cyberbrain_core::{
    audit::Actor,
    ids::InstanceId,
    spec::{Network, Resources},
};
use cyberbrain_launcher::{
    image::running_executable,
    runtime::{
        ContainerId, ContainerName, ContainerPlan, DockerOptions, DockerRuntime, Follow, GpuInjection,
        ImageId, Labels, LogRequest, LogSource, Mounts, Purpose, User, WorkerRuntime,
    },
};
use cyberbrain_worker::{SampleKind, SampleLog};
use futures::StreamExt;

use crate::{notice::say, up::cluster::Cluster};

/// What each sample logs like, and how many ordinary lines; the planted faults come on top.
const SAMPLES: [(SampleKind, u32); 2] = [(SampleKind::Web, 2_000), (SampleKind::Database, 1_000)];
const SEED: u64 = 1;
/// Role label of a sample container.
const ROLE: &str = "sample";
/// How long the samples may take to write their lines.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const STOP_GRACE: Duration = Duration::from_secs(5);
const ACTOR: Actor = Actor::System("demo");

/// Starts the samples, allow-lists them, and returns when they have written their lines.
pub async fn start(cluster: &Cluster) -> anyhow::Result<()> {
    let Ok(engine) =
        DockerRuntime::connect(&DockerOptions { host: None, gpu_injection: GpuInjection::DeviceRequests })
            .await
    else {
        say(
            "no container engine answers: workers run as processes, and there are no sample containers to read",
        );
        return Ok(());
    };
    let pool = db::pool(cluster.database_url(), "cyberbrain-demo", PoolSize(1))?;
    let mut connection = pool.acquire().await?;
    let instance = instance::read(&mut connection).await?.id;
    clear(&engine, instance).await?;
    let image = engine.install_worker_image(&running_executable()).await?;
    for (kind, lines) in SAMPLES {
        let plan = plan(kind, lines, instance, image.clone())?;
        let id = engine.create(&plan).await?;
        engine.start(&plan.name).await?;
        let container = AllowedContainer { id: id.as_str(), name: plan.name.as_str(), host: "*" };
        allowlist::allow(&mut connection, container, &ACTOR).await?;
    }
    for (kind, lines) in SAMPLES {
        let all = SampleLog::new(kind, SEED, lines, DateTime::UNIX_EPOCH).count();
        wait_for_lines(&engine, &name(kind, instance)?, all).await?;
    }
    say("two sample containers have logged, with planted faults");
    Ok(())
}

/// Removes the samples and takes them off the allowlist. Says what fails; the demo ends anyway.
pub async fn remove(cluster: &Cluster) {
    if let Err(error) = try_remove(cluster).await {
        say(format_args!("the sample containers can't be removed: {error:#}"));
    }
}

async fn try_remove(cluster: &Cluster) -> anyhow::Result<()> {
    let Ok(engine) =
        DockerRuntime::connect(&DockerOptions { host: None, gpu_injection: GpuInjection::DeviceRequests })
            .await
    else {
        return Ok(());
    };
    let pool = db::pool(cluster.database_url(), "cyberbrain-demo", PoolSize(1))?;
    let mut connection = pool.acquire().await?;
    let instance = instance::read(&mut connection).await?.id;
    for id in clear(&engine, instance).await? {
        allowlist::disallow(&mut connection, id.as_str(), &ACTOR).await?;
    }
    Ok(())
}

/// Removes every sample of this installation, also those of a demo that was killed.
async fn clear(engine: &DockerRuntime, instance: InstanceId) -> anyhow::Result<Vec<ContainerId>> {
    let mut removed = Vec::new();
    for listed in engine.list_ours(instance).await? {
        let Some(Labels { purpose: Purpose::Helper { role }, .. }) = &listed.labels else { continue };
        if role == ROLE {
            engine.kill(&listed.name).await?;
            engine.wait(&listed.name).await;
            engine.remove(&listed.name).await?;
            removed.push(listed.id);
        }
    }
    Ok(removed)
}

const fn word(kind: SampleKind) -> &'static str {
    match kind {
        SampleKind::Web => "web",
        SampleKind::Database => "database",
    }
}

fn name(kind: SampleKind, instance: InstanceId) -> anyhow::Result<ContainerName> {
    // The end of the id differs between installations on one engine; its beginning is only a time.
    let id = instance.to_string();
    Ok(ContainerName::helper(format!("cb-sample-{}-{}", word(kind), &id[id.len() - 8..]))?)
}

fn plan(kind: SampleKind, lines: u32, instance: InstanceId, image: ImageId) -> anyhow::Result<ContainerPlan> {
    Ok(ContainerPlan {
        name: name(kind, instance)?,
        labels: Labels { instance, purpose: Purpose::Helper { role: ROLE.to_owned() } },
        image,
        command: ["sample-log", word(kind), "--seed", &SEED.to_string(), "--lines", &lines.to_string()]
            .map(str::to_owned)
            .to_vec(),
        env: BTreeMap::new(),
        resources: Resources::default(),
        gpus: Vec::new(),
        mounts: Mounts::default(),
        user: User::for_workers(),
        network: Network::Bridge,
        stop_grace: STOP_GRACE,
    })
}

async fn wait_for_lines(engine: &DockerRuntime, name: &ContainerName, lines: usize) -> anyhow::Result<()> {
    let counted = async {
        let request = LogRequest { source: LogSource::Ours(name.clone()), after: None, follow: Follow::Yes };
        engine.logs(request).take(lines).filter(|line| std::future::ready(line.is_ok())).count().await
    };
    match tokio::time::timeout(WRITE_LIMIT, counted).await {
        Ok(count) if count >= lines => Ok(()),
        Ok(count) => bail!("{} ended after {count} of {lines} lines", name.as_str()),
        Err(_) => bail!("{} did not log {lines} lines in {} s", name.as_str(), WRITE_LIMIT.as_secs()),
    }
}
