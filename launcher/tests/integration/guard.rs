//! The guard as a process of its own, beside a real engine.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use cyberbrain_common::{boot_clock, db::contact::GuardState, ready};
use cyberbrain_core::ids::{AttemptId, Fence, InstanceId, LauncherId};
use cyberbrain_launcher::{
    guard::{self, Contact, EngineOnBoot, WatchedAttempt, presence},
    runtime::{
        ContainerName, ContainerPlan, DockerRuntime, Exit, Labels, Observation, Purpose, WorkerLabels,
        WorkerRuntime,
    },
};
use cyberbrain_testkit::wait_until;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{docker, docker_engine::helper};

/// Under load; everything here takes seconds at most.
const LIMIT: Duration = Duration::from_secs(60);
/// Where the guard of a child process keeps its files.
const DATA_DIR: &str = "CYBERBRAIN_TEST_GUARD_DATA_DIR";
const READY: &str = "ready.json";

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    guard: guard::Args,
}

/// No test: what the child processes of the tests below run. Its exit code is 3 if the guard refuses.
#[tokio::test]
async fn a_guard_for_the_tests() {
    let Some(data_dir) = env::var_os(DATA_DIR) else { return };
    let ready = Path::new(&data_dir).join(READY);
    let options = Options::parse_from([
        "guard".as_ref(),
        "--data-dir".as_ref(),
        data_dir.as_os_str(),
        "--ready-file".as_ref(),
        ready.as_os_str(),
    ]);
    match guard::run(options.guard, CancellationToken::new()).await {
        Ok(()) => {}
        Err(error) => {
            eprintln!("guard: {error}");
            std::process::exit(3);
        }
    }
}

/// A guard of its own process, killed at the end.
pub struct Guard(Child);

impl Guard {
    pub fn spawn(data_dir: &Path) -> Self {
        Self::with(data_dir, |command| command)
    }

    fn with(data_dir: &Path, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "guard::a_guard_for_the_tests", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self(change(&mut command).spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A launcher's contact, and workers of its instance.
struct Host {
    directory: TempDir,
    engine: DockerRuntime,
    instance: InstanceId,
    contact: Contact,
}

impl Host {
    async fn new(engine: DockerRuntime) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = EngineOnBoot::from(&engine.identify().await.unwrap());
        let instance = InstanceId::from(Uuid::now_v7());
        let launcher = LauncherId::from(Uuid::now_v7());
        let contact = Contact::new(directory.path(), launcher, instance, identity).unwrap();
        Self { directory, engine, instance, contact }
    }

    /// A running container that ends well on SIGTERM.
    async fn start(&self, purpose: Purpose) -> ContainerName {
        let shell = docker::shell_image(&self.engine).await;
        let script = "trap 'exit 7' TERM; while :; do sleep 1 & wait $!; done";
        let name = match &purpose {
            Purpose::Worker(worker) => ContainerName::for_attempt(worker.attempt_id, Fence(1)),
            Purpose::Helper { .. } => ContainerName::helper(format!("cb-test-{}", Uuid::now_v7())).unwrap(),
        };
        let labels = Labels { instance: self.instance, purpose };
        let plan = ContainerPlan { name, labels, ..helper(self.instance, &shell.id, script) };
        self.engine.create(&plan).await.unwrap();
        self.engine.start(&plan.name).await.unwrap();
        plan.name
    }

    async fn runs(&self, name: &ContainerName) -> bool {
        matches!(self.engine.inspect(name).await, Observation::Running { .. })
    }

    async fn clear(&self) {
        for container in self.engine.list_ours(self.instance).await.unwrap() {
            self.engine.kill(&container.name).await.unwrap();
            timeout(LIMIT, self.engine.wait(&container.name)).await.unwrap();
            self.engine.remove(&container.name).await.unwrap();
        }
    }
}

fn worker(attempt_id: AttemptId) -> Purpose {
    Purpose::Worker(WorkerLabels {
        run_id: Uuid::now_v7().into(),
        run_job_id: Uuid::now_v7().into(),
        attempt_id,
        attempt: 1,
        task_key: "log_triage".into(),
    })
}

/// Its time is up 15 s after the last contact, its grace ends 2 s later.
fn least(attempt: AttemptId) -> WatchedAttempt {
    WatchedAttempt { attempt, host_lost_seconds: Some(32), stop_grace_seconds: 2 }
}

#[tokio::test]
async fn silence_stops_workers_in_time_and_contact_keeps_them() {
    let Some(engine) = docker::engine().await else { return };
    let (silent, live) = (Host::new(engine.clone()).await, Host::new(engine).await);
    let [lost, waits, kept] = [(); 3].map(|()| AttemptId::from(Uuid::now_v7()));
    let (lost_name, waits_name) = (silent.start(worker(lost)).await, silent.start(worker(waits)).await);
    let helper_name = silent.start(Purpose::Helper { role: "test".into() }).await;
    let kept_name = live.start(worker(kept)).await;
    // One data directory, so one guard for both; the silent one's last contact is a few seconds old.
    let second = LauncherId::from(Uuid::now_v7());
    let identity = EngineOnBoot::from(&live.engine.identify().await.unwrap());
    let path = silent.directory.path();
    let living = Contact::new(path, second, live.instance, identity).unwrap();
    let last_contact = boot_clock::now_ms() - 8_000;
    let wait = WatchedAttempt { host_lost_seconds: None, ..least(waits) };
    silent.contact.note(last_contact, vec![least(lost), wait]).unwrap();
    living.note(boot_clock::now_ms(), vec![least(kept)]).unwrap();
    let _guard = Guard::spawn(path);

    // The other one stays in contact all the while.
    let silence = || Duration::from_millis(boot_clock::now_ms() - last_contact);
    let stay = || living.note(boot_clock::now_ms(), vec![least(kept)]).unwrap();
    let mut ran_until = Duration::ZERO;
    wait_until("the guard stops the worker", LIMIT, async || {
        stay();
        let seen = silence();
        let runs = silent.runs(&lost_name).await;
        if runs {
            ran_until = seen;
        }
        !runs
    })
    .await;
    let stopped = silence();
    let left = silent.engine.inspect(&lost_name).await;
    assert!(ran_until >= Duration::from_secs(14), "stopped too early: it was not seen after {ran_until:?}");
    assert!(stopped < Duration::from_secs(32), "too late: {stopped:?}");
    // By SIGTERM, and it is still there: its exit is for its launcher to collect.
    assert!(matches!(left, Observation::Exited(Exit { code: 7, .. })), "{left:?}");

    // Twice the period later nothing else has happened.
    let end = Instant::now() + Duration::from_secs(2);
    wait_until("some looks later", LIMIT, async || {
        stay();
        Instant::now() >= end
    })
    .await;
    let others =
        [silent.runs(&waits_name).await, silent.runs(&helper_name).await, live.runs(&kept_name).await];
    silent.clear().await;
    live.clear().await;
    assert_eq!(others, [true; 3], "waits for its host, is no worker, is in contact");
}

#[tokio::test]
async fn one_guard_is_present_until_it_is_killed() {
    let Some(engine) = docker::engine().await else { return };
    let host = Host::new(engine).await;
    let path = host.directory.path();
    host.contact.note(boot_clock::now_ms(), Vec::new()).unwrap();
    assert_eq!(host.contact.guard().unwrap(), GuardState::Absent);
    let mut guard = Guard::spawn(path);
    let present = async || host.contact.guard().unwrap() == GuardState::Present;
    wait_until("the guard is there", LIMIT, present).await;
    let ready = ready::read(&path.join(READY)).unwrap().unwrap();
    assert_eq!((ready.role.as_str(), ready.pid), ("guard", guard.0.id()));

    let mut second = Guard::spawn(path);
    wait_until("the second one ends", LIMIT, async || second.0.try_wait().unwrap().is_some()).await;
    assert_eq!(second.0.try_wait().unwrap().unwrap().code(), Some(3));
    let said = std::io::read_to_string(second.0.stderr.take().unwrap()).unwrap();
    let clear = format!("a guard (process {}) watches over", guard.0.id());
    assert!(said.contains(&clear), "{said}");
    assert!(present().await);

    // SIGKILL.
    guard.0.kill().unwrap();
    guard.0.wait().unwrap();
    let identity = EngineOnBoot::from(&host.engine.identify().await.unwrap());
    assert_eq!(presence(path, &identity).unwrap(), GuardState::Absent);
    let _next = Guard::spawn(path);
    wait_until("another one takes its place", LIMIT, present).await;
}

#[tokio::test]
async fn a_guard_without_an_engine_idles_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}", directory.path().join("none.sock").display());
    let mut guard = Guard::with(directory.path(), |command| command.env("DOCKER_HOST", nowhere));
    wait_until("it is ready all the same", LIMIT, async || directory.path().join(READY).exists()).await;
    let mut lines = BufReader::new(guard.0.stderr.take().unwrap()).lines();
    let said = tokio::task::spawn_blocking(move || {
        lines.any(|line| line.is_ok_and(|line| line.contains("no container engine answers")))
    });
    assert!(timeout(LIMIT, said).await.unwrap().unwrap());
    assert!(guard.0.try_wait().unwrap().is_none());
    assert!(!directory.path().join("guard/guard.json").exists(), "it claims nothing");
}
