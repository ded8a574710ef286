//! Preflight: one container at the start that proves what every worker needs: the image runs, the engine mounts our
//! directories and not others of the same name, the worker's user can write there, and the network can be made.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use cyberbrain_core::{
    ids::InstanceId,
    outcome::RESULT_FILE,
    spec::{Network, Resources},
};
use futures::TryStreamExt;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    layout::Layout,
    runtime::{
        self, ContainerName, ContainerPlan, Follow, ImageId, Labels, LogRequest, LogSource, Mounts,
        Observation, PlanError, Purpose, RuntimeKind, WorkerRuntime,
    },
};

/// From create to removal, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);
/// What of its output is shown when it fails.
const SHOWN_LINES: usize = 5;

/// Why workers could not run here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the directory {} can't be prepared", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: no mount of this container holds it, so workers can't be given it; mount it from the host, or choose other directories with --logs and --uploads", path.display())]
    NotShared { path: PathBuf },
    #[error("the engine can't run the preflight container")]
    Engine(#[from] runtime::Error),
    #[error("the preflight container is refused")]
    Plan(#[from] PlanError),
    #[error("the preflight container ended with exit code {code}: {output}")]
    Failed { code: i64, output: String },
    #[error("what the preflight container wrote did not arrive in {}: the engine mounts another directory of that name. Is it on another machine, or this launcher in a container?", path.display())]
    NotOurs { path: PathBuf },
    #[error("the preflight took longer than {} s", LIMIT.as_secs())]
    TooSlow,
}

/// What a worker would stand on.
pub(crate) struct Ground<'a> {
    pub kind: RuntimeKind,
    pub runtime: &'a dyn WorkerRuntime,
    pub instance: InstanceId,
    pub image: &'a ImageId,
    pub layout: &'a Layout,
}

/// Runs it. Where there is no engine there is nothing to prove.
pub(crate) async fn run(ground: &Ground<'_>) -> Result<(), Error> {
    match ground.kind {
        RuntimeKind::Docker => {}
        RuntimeKind::Process => {
            tracing::info!(
                "no preflight: workers are child processes, without mounts or networks of their own"
            );
            return Ok(());
        }
        RuntimeKind::Simulated => {
            tracing::info!("no preflight: nothing runs on a simulated host");
            return Ok(());
        }
    }
    match timeout(LIMIT, with_networks(ground)).await {
        Ok(proven) => proven,
        Err(_) => Err(Error::TooSlow),
    }
}

async fn with_networks(ground: &Ground<'_>) -> Result<(), Error> {
    let bridged = attempt(ground, Network::Bridge).await;
    let Err(Error::Engine(problem)) = bridged else { return bridged };
    attempt(ground, Network::None).await?;
    tracing::error!(
        error = &problem as &dyn std::error::Error,
        "workers run here without a network only: the engine's bridge network does not work"
    );
    Ok(())
}

async fn attempt(ground: &Ground<'_>, network: Network) -> Result<(), Error> {
    let nonce = Uuid::now_v7();
    let root = ground.layout.logs.join(format!("preflight-{nonce}"));
    let proven = prove(ground, network, nonce, root.clone()).await;
    if let Err(error) = tokio::fs::remove_dir_all(&root).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the preflight's directory could not be removed"
        );
    }
    proven
}

async fn prove(ground: &Ground<'_>, network: Network, nonce: Uuid, root: PathBuf) -> Result<(), Error> {
    let layout = ground.layout.clone();
    let made = {
        let root = root.clone();
        tokio::task::spawn_blocking(move || layout.prepare_at(&root))
    };
    let made = made.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    made.map_err(|source| Error::Directory { path: root.clone(), source })?;
    let host_path =
        |path: PathBuf| ground.layout.translation.host_path(&path).ok_or(Error::NotShared { path });
    let plan = ContainerPlan {
        name: ContainerName::helper(format!("cb-preflight-{nonce}"))?,
        labels: Labels {
            instance: ground.instance,
            purpose: Purpose::Helper { role: "preflight".to_owned() },
        },
        image: ground.image.clone(),
        command: ["self-test", "leave-text", "--text", &nonce.to_string()].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        resources: Resources { memory_mib: 128, ..Resources::default() },
        gpus: Vec::new(),
        mounts: Mounts {
            out: Some(host_path(root.join("out"))?),
            input: Some(host_path(root.join("in"))?),
            uploads: Some(host_path(ground.layout.uploads.clone())?),
            caches: Vec::new(),
            secrets: Vec::new(),
        },
        user: ground.layout.worker,
        network,
        stop_grace: Duration::from_secs(1),
    };
    let ran = run_to_end(ground, &plan).await;
    let removed = ground.runtime.remove(&plan.name).await;
    ran?;
    removed?;
    let written = tokio::fs::read_to_string(root.join("out").join(RESULT_FILE)).await.unwrap_or_default();
    if written.contains(&nonce.to_string()) { Ok(()) } else { Err(Error::NotOurs { path: root }) }
}

async fn run_to_end(ground: &Ground<'_>, plan: &ContainerPlan) -> Result<(), Error> {
    let runtime = ground.runtime;
    runtime.create(plan).await?;
    runtime.start(&plan.name).await?;
    loop {
        match runtime.wait(&plan.name).await {
            Observation::Exited(exit) if exit.code == 0 => return Ok(()),
            Observation::Exited(exit) => {
                return Err(Error::Failed { code: exit.code, output: output(ground, plan).await });
            }
            Observation::Unknown(error) => return Err(error.into()),
            Observation::Absent => {
                return Err(Error::Failed { code: -1, output: "somebody removed it".to_owned() });
            }
            Observation::Created | Observation::Running { .. } => {}
        }
    }
}

/// The end of its output, for people.
async fn output(ground: &Ground<'_>, plan: &ContainerPlan) -> String {
    let request = LogRequest { source: LogSource::Ours(plan.name.clone()), after: None, follow: Follow::No };
    let lines: Vec<_> = ground.runtime.logs(request).try_collect().await.unwrap_or_default();
    let shown = lines.iter().rev().take(SHOWN_LINES).rev();
    shown.map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect::<Vec<_>>().join(" | ")
}
