//! One runtime under test and what its containers are told to do.

use std::{collections::BTreeMap, future::Future, path::PathBuf, sync::Arc, time::Duration};

use cyberbrain_core::{
    ids::{AttemptId, Fence, InstanceId},
    spec::{Network, Resources},
};
use cyberbrain_launcher::runtime::{
    ContainerName, ContainerPlan, ImageId, Labels, Mounts, Observation, ProcessRuntime, Program, Purpose,
    SimulatedOptions, SimulatedRuntime, User, WorkerLabels, WorkerRuntime,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::docker::{self, TestImage};

/// What a test wants a container to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    ExitWith(i64),
    RunForLong,
    IgnoreSigterm,
    RunOutOfMemory,
    /// This many numbered lines, then a good end.
    Log(u32),
    /// Its start must fail.
    NotExecutable,
}

/// How a backend is told so.
type Tell = fn(&mut ContainerPlan, Does);

/// A runtime, an instance of its own and an image.
#[derive(Clone)]
pub struct Stage {
    pub runtime: Arc<dyn WorkerRuntime>,
    pub instance: InstanceId,
    pub image: ImageId,
    tell: Tell,
    _image: Option<Arc<TestImage>>,
    _directory: Arc<TempDir>,
}

impl Stage {
    /// A plan for a new attempt under its first fence.
    pub fn plan(&self, does: Does) -> ContainerPlan {
        let attempt_id = AttemptId::from(Uuid::now_v7());
        let mut plan = ContainerPlan {
            name: ContainerName::for_attempt(attempt_id, Fence::FIRST),
            labels: Labels {
                instance: self.instance,
                purpose: Purpose::Worker(WorkerLabels {
                    run_id: Uuid::now_v7().into(),
                    run_job_id: Uuid::now_v7().into(),
                    attempt_id,
                    attempt: 1,
                    task_key: "conformance".into(),
                }),
            },
            image: self.image.clone(),
            command: Vec::new(),
            env: BTreeMap::new(),
            resources: Resources { cpu_millis: 1_000, memory_mib: 32, shm_mib: 8, pids: 32 },
            gpus: Vec::new(),
            mounts: Mounts::default(),
            user: User::NONROOT,
            network: Network::None,
            stop_grace: Duration::from_secs(10),
        };
        (self.tell)(&mut plan, does);
        plan
    }

    /// Makes and starts one.
    pub async fn started(&self, does: Does) -> ContainerName {
        let plan = self.plan(does);
        self.runtime.create(&plan).await.unwrap();
        self.runtime.start(&plan.name).await.unwrap();
        plan.name
    }

    /// Ends and removes everything that the test left.
    async fn clear(&self) {
        for left in self.runtime.list_ours(self.instance).await.unwrap() {
            self.runtime.kill(&left.name).await.unwrap();
            assert!(!matches!(self.runtime.wait(&left.name).await, Observation::Unknown(_)));
            self.runtime.remove(&left.name).await.unwrap();
        }
    }
}

/// The name that an adopter gives it.
pub fn adopted(name: &ContainerName) -> ContainerName {
    let (attempt, fence) = name.owner().unwrap();
    ContainerName::for_attempt(attempt, fence.next())
}

/// Runs the test and clears the stage whatever came of it.
pub async fn play<F>(stage: Option<Stage>, test: impl FnOnce(Stage) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(stage) = stage else { return };
    let outcome = tokio::spawn(test(stage.clone())).await;
    stage.clear().await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

pub async fn docker() -> Option<Stage> {
    let engine = docker::engine().await?;
    let image = docker::shell_image(&engine).await;
    Some(Stage {
        runtime: Arc::new(engine),
        instance: Uuid::now_v7().into(),
        image: image.id.clone(),
        tell: |plan, does| {
            plan.command = match does {
                Does::NotExecutable => vec!["/nope".into()],
                other => vec!["/bin/sh".into(), "-c".into(), script(other)],
            };
        },
        _image: Some(image),
        _directory: Arc::new(tempfile::tempdir().unwrap()),
    })
}

pub async fn process() -> Option<Stage> {
    let directory = tempfile::tempdir().unwrap();
    let program = Program { executable: "/bin/sh".into(), arguments: vec!["-c".into()] };
    let runtime = ProcessRuntime::connect(program, directory.path()).await.unwrap();
    let image = runtime.install_worker_image(&PathBuf::from("/bin/sh")).await.unwrap();
    Some(Stage {
        runtime: Arc::new(runtime),
        instance: Uuid::now_v7().into(),
        image,
        tell: |plan, does| plan.command = vec![script(does)],
        _image: None,
        _directory: Arc::new(directory),
    })
}

pub async fn simulated() -> Option<Stage> {
    let runtime = SimulatedRuntime::new(SimulatedOptions::named("conformance"));
    let image = runtime.install_worker_image(&PathBuf::new()).await.unwrap();
    Some(Stage {
        runtime: Arc::new(runtime),
        instance: Uuid::now_v7().into(),
        image,
        tell: |plan, does| {
            let text = match does {
                Does::ExitWith(code) => format!("run_ms=20,exit={code}"),
                Does::RunForLong => "run_ms=600000".to_owned(),
                Does::IgnoreSigterm => "run_ms=600000,ignore_sigterm".to_owned(),
                Does::RunOutOfMemory => "run_ms=20,oom".to_owned(),
                Does::Log(lines) => format!("run_ms=20,log_lines={lines}"),
                Does::NotExecutable => "nonsense".to_owned(),
            };
            plan.env.insert("CYBERBRAIN_SIMULATE".into(), text);
        },
        _image: None,
        _directory: Arc::new(tempfile::tempdir().unwrap()),
    })
}

fn script(does: Does) -> String {
    match does {
        Does::ExitWith(code) => format!("exit {code}"),
        Does::RunForLong => "sleep 600".to_owned(),
        Does::IgnoreSigterm => "trap '' TERM; echo ready; sleep 600".to_owned(),
        // A line without an end, of which tail keeps everything.
        Does::RunOutOfMemory => "tail /dev/zero; exit 3".to_owned(),
        Does::Log(lines) => format!(
            "n=0; while [ $n -lt {lines} ]; do n=$((n+1)); echo \"line $n of {lines}\"; done; echo done >&2"
        ),
        Does::NotExecutable => unreachable!("a shell can execute anything"),
    }
}
