//! What only the process runtime has: an engine identity in a directory, and leftovers of a dead owner.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command},
    time::Duration,
};

use cyberbrain_launcher::runtime::{
    CacheMount, ContainerPlan, Error, Follow, LogRequest, LogSource, Observation, ProcessRuntime, Program,
    SecretMount, WorkerRuntime,
};
use futures::{StreamExt, TryStreamExt};

fn shell() -> Program {
    Program { executable: "/bin/sh".into(), arguments: vec!["-c".into()] }
}

#[tokio::test]
async fn a_second_launcher_is_another_engine_and_a_restarted_one_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let first = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let second = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let (one, two) = (first.identify().await.unwrap(), second.identify().await.unwrap());
    assert_ne!(one.engine_id, two.engine_id);
    drop(first);
    let restarted = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    assert_eq!(restarted.identify().await.unwrap(), one);
}

#[tokio::test]
async fn what_a_dead_owner_left_is_killed_before_anything_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let engine = directory.path().join("process-engine-0");
    std::fs::create_dir(&engine).unwrap();
    // As after a `kill -9`: the lock is free, the list is there, the process lives. A second one has the
    // same id but another start time, as if the id had been given to somebody else.
    let (mut left, mut innocent) = (Sleeper::start(), Sleeper::start());
    let ticks = |pid: u32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    };
    let list = format!(
        "{} {}\n{} {}\n",
        left.0.id(),
        ticks(left.0.id()),
        innocent.0.id(),
        ticks(innocent.0.id()) + 1
    );
    std::fs::write(engine.join("children"), list).unwrap();

    let connecting = ProcessRuntime::connect(shell(), directory.path());
    tokio::time::timeout(Duration::from_secs(10), connecting).await.unwrap().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), died(&mut left.0)).await.expect("it was killed");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    assert!(innocent.0.try_wait().unwrap().is_none(), "another process under a reused id is left alone");
}

/// A process in a group of its own that does not outlive the test, whatever that finds.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("/bin/sleep").arg("600").process_group(0).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn died(child: &mut Child) -> std::process::ExitStatus {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn alive(pid: i32) -> bool {
    // A zombie that nobody has waited for yet is dead too.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

async fn dies(pid: i32) {
    let gone = async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it dies");
}

/// Starts a script and returns the number that it prints first.
async fn first_number(runtime: &ProcessRuntime, plan: &ContainerPlan) -> i32 {
    runtime.create(plan).await.unwrap();
    runtime.start(&plan.name).await.unwrap();
    let request = LogRequest { source: LogSource::Ours(plan.name.clone()), after: None, follow: Follow::Yes };
    let line = runtime.logs(request).next().await.unwrap().unwrap();
    std::str::from_utf8(&line.bytes).unwrap().trim().parse().unwrap()
}

async fn plan(runtime: &ProcessRuntime, script: &str) -> ContainerPlan {
    let image = runtime.install_worker_image("/bin/sh".as_ref()).await.unwrap();
    let mut plan = crate::docker_engine::helper(uuid::Uuid::now_v7().into(), &image, script);
    plan.command = vec![script.to_owned()];
    plan
}

#[tokio::test]
async fn what_a_worker_started_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let plan = plan(&runtime, "sleep 600 & echo $!; exit 4").await;
    let child = first_number(&runtime, &plan).await;
    let Observation::Exited(exit) = runtime.wait(&plan.name).await else { panic!("it has ended") };
    assert_eq!(exit.code, 4);
    dies(child).await;
}

#[tokio::test]
async fn everything_dies_with_the_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let plan = plan(&runtime, "sleep 600 & echo $!; trap '' TERM; sleep 600").await;
    let child = first_number(&runtime, &plan).await;
    assert!(alive(child));
    drop(runtime);
    dies(child).await;
}

#[tokio::test]
async fn a_worker_sees_its_directories_and_nothing_of_our_environment() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let out = directory.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut plan = plan(&runtime, "env; pwd; id -u").await;
    plan.mounts.out = Some(out.clone());
    plan.mounts.input = Some("/staged".into());
    plan.env.insert("GIVEN".into(), "yes".into());
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    runtime.create(&plan).await.unwrap();
    runtime.start(&plan.name).await.unwrap();
    runtime.wait(&plan.name).await;
    let request = LogRequest { source: LogSource::Ours(plan.name.clone()), after: None, follow: Follow::No };
    let lines: Vec<_> = runtime.logs(request).try_collect().await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect();
    let has = |wanted: String| assert!(lines.contains(&wanted), "{wanted:?} is not in {lines:?}");
    has(format!("CYBERBRAIN_OUTPUT_DIR={}", out.display()));
    has("CYBERBRAIN_INPUT_DIR=/staged".into());
    has("GIVEN=yes".into());
    has("CUDA_VISIBLE_DEVICES=".into());
    has(out.display().to_string());
    assert!(!lines.iter().any(|line| line.starts_with("CARGO")), "{lines:?}");
    if std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0) {
        has("65532".into());
    }
}

#[tokio::test]
async fn a_plan_with_secrets_or_caches_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let (mut secret, mut cache) = (plan(&runtime, "true").await, plan(&runtime, "true").await);
    secret.mounts.secrets =
        vec![SecretMount { host: "/srv/token".into(), target: "/run/secrets/token".into() }];
    cache.mounts.caches = vec![CacheMount { host: "/srv/llama".into(), target: "/models".into() }];
    for plan in [secret, cache] {
        let error = runtime.create(&plan).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("nothing can be mounted for a process"), "{error}");
        assert!(matches!(runtime.inspect(&plan.name).await, Observation::Absent));
    }
}
