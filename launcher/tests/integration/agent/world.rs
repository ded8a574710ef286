//! A database, an engine, and launchers that can be killed.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Parser;
use cyberbrain_common::{
    db::{
        Pool, instance,
        supervision::attempts_of_host,
        transition::{Facts, Place, PlaceKind, Step, transition},
    },
    ids::fresh,
    queue::{self, LaunchTask},
};
use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, Fence, HostId, InstanceId, LauncherId, RunId, RunJobId},
    lifecycle::{AttemptState, Event},
    spec::JobSpec,
};
use cyberbrain_launcher::{
    Args, Error, Station,
    gpu::ProbeChoice,
    runtime::{
        ImageId, OutputFile, ProcessRuntime, Program, SimulatedOptions, SimulatedRuntime, WorkerRuntime,
    },
};
use cyberbrain_testkit::{TestDb, wait_for, wait_until};
use sqlx::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub use super::jobs::{GOOD, spec};
use crate::docker::{self, TestImage};

const SCHEDULER: Actor = Actor::System("scheduler");
/// Long enough for a loaded machine, short enough for a person.
pub const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Everything around the launchers of one test.
pub struct World {
    pub engine: Arc<dyn WorkerRuntime>,
    pub pool: Pool,
    pub data: TempDir,
    pub run: RunId,
    pub instance: InstanceId,
    /// What its launchers find; none unless a test says so.
    pub gpus: ProbeChoice,
    /// What its launchers call the host.
    pub name: &'static str,
    image_in_use: Option<Arc<TestImage>>,
    process_state: Option<TempDir>,
    // Last: its connections are cut then.
    pub db: TestDb,
}

/// A launcher on threads of its own.
pub struct Launcher {
    pub id: LauncherId,
    runtime: Option<tokio::runtime::Runtime>,
    served: Option<tokio::task::JoinHandle<Result<(), Error>>>,
    shutdown: CancellationToken,
}

impl World {
    /// On the real engine.
    pub async fn new() -> Option<Self> {
        let engine = docker::engine().await?;
        let image = docker::shell_image(&engine).await;
        let pin = image.id.clone();
        Self::on(Arc::new(engine), &pin, Some(image)).await
    }

    /// On an engine that fails to order, where nothing runs.
    pub async fn simulated() -> Option<(Self, Arc<SimulatedRuntime>)> {
        let pin = ImageId::parse(format!("sha256:{}", "7".repeat(64))).unwrap();
        let result = OutputFile {
            name: "result.json".into(),
            bytes: br#"{"kind":"custom","values":{"answer":42}}"#.to_vec(),
        };
        let engine = Arc::new(SimulatedRuntime::new(SimulatedOptions {
            images: [pin.clone()].into(),
            outputs: Some(Arc::new(move |_| vec![result.clone()])),
            ..SimulatedOptions::named("testhost")
        }));
        let world = Self::on(Arc::clone(&engine) as Arc<dyn WorkerRuntime>, &pin, None).await?;
        Some((world, engine))
    }

    /// On child processes, where the built-in image stands for a shell.
    pub async fn processes() -> Option<Self> {
        let program = Program { executable: "/bin/bash".into(), arguments: vec!["-c".into()] };
        let state = tempfile::tempdir().unwrap();
        let engine = Arc::new(ProcessRuntime::connect(program, state.path()).await.unwrap());
        let pin = ImageId::parse(format!("sha256:{}", "7".repeat(64))).unwrap();
        let mut world = Self::on(engine, &pin, None).await?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(world.data.path(), open).unwrap();
        world.process_state = Some(state);
        Some(world)
    }

    async fn on(
        engine: Arc<dyn WorkerRuntime>,
        pin: &ImageId,
        image: Option<Arc<TestImage>>,
    ) -> Option<Self> {
        let db = TestDb::new().await?;
        let pool = db.pool();
        let mut connection = db.connect().await;
        let instance = instance::read(&mut connection).await.unwrap().id;
        sqlx::query(
            "insert into worker_image_allowlist (id, name, tag, pin) values (gen_random_uuid(), 'shell', 'test', $1)",
        )
        .bind(pin.as_str())
        .execute(&mut connection)
        .await
        .unwrap();
        let run = fresh();
        sqlx::query(
            "insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
             values ($1, 'D4', 'Custom', 1, '{\"text\": \"do it\"}', 'test')",
        )
        .bind(RunId::uuid(run))
        .execute(&mut connection)
        .await
        .unwrap();
        let data = tempfile::tempdir().unwrap();
        let gpus = ProbeChoice::None;
        let name = "testhost";
        let (image_in_use, process_state) = (image, None);
        Some(Self { engine, pool, data, run, instance, gpus, name, image_in_use, process_state, db })
    }

    /// Starts a launcher and waits until it takes work.
    pub async fn launcher(&self, options: &[&str]) -> Launcher {
        self.launcher_at(&self.db.url, options).await
    }

    /// The same, with the database behind a proxy.
    pub async fn launcher_through(&self, proxy: SocketAddr, options: &[&str]) -> Launcher {
        self.launcher_at(&self.db.url_through(proxy), options).await
    }

    async fn launcher_at(&self, url: &str, options: &[&str]) -> Launcher {
        let before = self.launchers().await;
        let ready = self.data.path().join(format!("ready-{}", uuid::Uuid::now_v7()));
        let own = ["--skip-preflight", "--ready-file", ready.to_str().unwrap()];
        let mut launcher = self.start_at(url, &[options, &own].concat());
        wait_until("the launcher to serve", PATIENCE, async || {
            assert!(!launcher.has_ended(), "the launcher did not start");
            ready.exists()
        })
        .await;
        let id = self.launchers().await.into_iter().find(|id| !before.contains(id)).unwrap();
        launcher.id = id;
        launcher
    }

    /// Starts a launcher, with its preflight unless an option says otherwise.
    pub fn start(&self, options: &[&str]) -> Launcher {
        self.start_at(&self.db.url, options)
    }

    fn start_at(&self, url: &str, options: &[&str]) -> Launcher {
        let args = self.args(url, options);
        let station = Station {
            name: self.name.into(),
            runtime: Arc::clone(&self.engine),
            gpus: self.gpus.clone(),
            executable: PathBuf::from("/bin/sleep"),
            mounts: Vec::new(),
        };
        Launcher::run(1, |token| async move {
            cyberbrain_launcher::serve(&args, vec![station], None, token).await
        })
    }

    /// Starts a launcher for many simulated hosts and waits until all of them take work.
    pub async fn fleet(&self, options: &[&str]) -> Launcher {
        let ready = self.data.path().join("ready-fleet");
        let own = ["--runtime", "simulated", "--ready-file", ready.to_str().unwrap()];
        let args = self.args(&self.db.url, &[options, &own].concat());
        let launcher = Launcher::run(2, |token| async move {
            let stations = cyberbrain_launcher::stations(&args).await?;
            cyberbrain_launcher::serve(&args, stations, None, token).await
        });
        wait_until("the fleet to serve", PATIENCE * 2, async || ready.exists()).await;
        launcher
    }

    fn args(&self, url: &str, options: &[&str]) -> Args {
        let data = self.data.path().to_str().unwrap();
        let own = ["launcher", "--database-url", url, "--data-dir", data, "--host", self.name];
        Cli::parse_from(own.iter().chain(options)).args
    }

    async fn launchers(&self) -> Vec<LauncherId> {
        let ids: Vec<uuid::Uuid> =
            sqlx::query_scalar("select id from launchers").fetch_all(&self.pool).await.unwrap();
        ids.into_iter().map(Into::into).collect()
    }

    pub async fn host(&self) -> HostId {
        let id: uuid::Uuid = sqlx::query_scalar("select id from hosts").fetch_one(&self.pool).await.unwrap();
        id.into()
    }

    /// A RunJob that runs this shell script.
    pub async fn script(&self, script: &str) -> RunJobId {
        self.job(JobSpec { command: vec!["/bin/sh".into(), "-c".into(), script.into()], ..spec() }).await
    }

    pub async fn job(&self, spec: JobSpec) -> RunJobId {
        let job: RunJobId = fresh();
        sqlx::query(
            "insert into run_jobs (id, run_id, ordinal, task_key, name, spec, params, submitter, shape, admitted, deadline_at)
             values ($1, $2, (select count(*) from run_jobs), $3, 'job', $4, '{\"depth\": 3}', 'test', 'shape', true,
                 now() + interval '1 day')",
        )
        .bind(job.uuid())
        .bind(self.run.uuid())
        .bind(&spec.task_key)
        .bind(serde_json::to_value(&spec).unwrap())
        .execute(&self.pool)
        .await
        .unwrap();
        job
    }

    /// A RunJob for the simulated engine, which behaves like this.
    pub async fn simulation(&self, behaviour: &str) -> RunJobId {
        let env = [("CYBERBRAIN_SIMULATE".to_owned(), behaviour.to_owned())].into();
        self.job(JobSpec { env, ..spec() }).await
    }

    /// Gives the RunJob a place on the only host, as the scheduler does.
    pub async fn offer(&self, job: RunJobId) -> AttemptId {
        self.offer_as(job, fresh()).await
    }

    pub async fn offer_as(&self, job: RunJobId, attempt: AttemptId) -> AttemptId {
        let host = self.host().await;
        let place =
            Place { attempt, host, kind: PlaceKind::Cpu, gpus: Vec::new(), reason: "the only host".into() };
        let step =
            Step { facts: Facts { place: Some(place), ..Facts::default() }, ..Step::new(job, Event::Offer) };
        let mut connection = self.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        transition(&mut tx, step, &SCHEDULER).await.unwrap();
        queue::push(&mut tx, &[LaunchTask { host, attempt }]).await.unwrap();
        tx.commit().await.unwrap();
        attempt
    }

    pub async fn offered(&self, script: &str) -> (RunJobId, AttemptId) {
        let job = self.script(script).await;
        (job, self.offer(job).await)
    }

    pub async fn step(&self, job: RunJobId, event: Event) {
        let mut connection = self.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        transition(&mut tx, Step::new(job, event), &SCHEDULER).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A launcher that was registered and never was.
    pub async fn launchers_of_nobody(&self) -> LauncherId {
        let id: LauncherId = fresh();
        sqlx::query("insert into launchers (id, host_id, pid, version) values ($1, $2, 1, 'test')")
            .bind(id.uuid())
            .bind(self.host().await.uuid())
            .execute(&self.pool)
            .await
            .unwrap();
        id
    }

    pub async fn step_as(&self, job: RunJobId, event: Event, launcher: LauncherId) {
        let facts = Facts { launcher: Some(launcher), ..Facts::default() };
        let mut connection = self.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        transition(&mut tx, Step { facts, ..Step::new(job, event) }, &SCHEDULER).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn row(&self, attempt: AttemptId) -> Row {
        sqlx::query_as(
            "select a.state, a.fence, a.launcher_id, a.exit_code, a.failure, a.failure_detail, a.container_id,
                 a.stop_reason, a.released_at is not null as released, j.status, j.result, j.progress,
                 j.failure as job_failure
             from attempts a join run_jobs j on j.id = a.run_job_id where a.id = $1",
        )
        .bind(attempt.uuid())
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    pub async fn until_state(&self, attempt: AttemptId, state: AttemptState) -> Row {
        wait_for(&format!("attempt to be {state}"), PATIENCE, async || {
            let row = self.row(attempt).await;
            (row.state == state.as_str()).then_some(row)
        })
        .await
    }

    pub async fn until_accepted(&self, attempt: AttemptId) -> Row {
        wait_for("somebody to accept", PATIENCE, async || {
            let row = self.row(attempt).await;
            (row.state != "offered").then_some(row)
        })
        .await
    }

    /// Until it has ended and given its place back.
    pub async fn until_released(&self, attempt: AttemptId) -> Row {
        self.until_released_within(attempt, PATIENCE).await
    }

    pub async fn until_released_within(&self, attempt: AttemptId, limit: Duration) -> Row {
        wait_for("the attempt to be released", limit, async || {
            let row = self.row(attempt).await;
            row.released.then_some(row)
        })
        .await
    }

    /// Until this launcher has been in contact so many more times.
    pub async fn until_contacted(&self, launcher: LauncherId, times: i64) {
        let contact = async || -> i64 {
            let query =
                sqlx::query_scalar("select contact from launchers where id = $1").bind(launcher.uuid());
            query.fetch_one(&self.pool).await.unwrap()
        };
        let before = contact().await;
        wait_until("contacts", PATIENCE, async || contact().await >= before + times).await;
    }

    /// What the scheduler does about a launcher that fell silent.
    pub async fn declare_silent(&self, launcher: LauncherId) {
        let mut connection = self.pool.acquire().await.unwrap();
        sqlx::query("update launchers set state = 'silent' where id = $1")
            .bind(launcher.uuid())
            .execute(&mut *connection)
            .await
            .unwrap();
        let held: Vec<(uuid::Uuid, i32)> = sqlx::query_as(
            "select run_job_id, fence from attempts where launcher_id = $1 and state not in ('done', 'lost', 'offered')",
        )
        .bind(launcher.uuid())
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        drop(connection);
        for (job, fence) in held {
            self.step(job.into(), Event::Orphan { fence: Fence(fence) }).await;
        }
    }

    /// Audit operations of a RunJob, in order.
    pub async fn audit(&self, job: RunJobId) -> Vec<String> {
        sqlx::query_scalar("select operation from worker_audit where run_job_id = $1 order by at, id")
            .bind(job.uuid())
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Nothing of this installation is on the engine, and nothing holds a place.
    pub async fn assert_clean(&self) {
        let listed = self.engine.list_ours(self.instance).await.unwrap();
        assert!(listed.is_empty(), "left on the engine: {listed:?}");
        let mut connection = self.pool.acquire().await.unwrap();
        let held = attempts_of_host(&mut connection, self.host().await, &[]).await.unwrap();
        assert!(held.is_empty(), "still hold their places: {held:?}");
        let (cpu, memory, open): (i32, i32, i32) =
            sqlx::query_as("select reserved_cpu_millis, reserved_memory_mib, open_attempts from hosts")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        assert_eq!((cpu, memory, open), (0, 0, 0), "the host's ledger");
    }

    pub fn attempt_dir(&self, job: RunJobId, attempt: AttemptId) -> PathBuf {
        let logs = self.data.path().join("logs/runs");
        logs.join(self.run.to_string()).join(job.to_string()).join(attempt.to_string())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.image_in_use.is_none() {
            // Nothing outlives a simulated engine or one of processes.
            return;
        }
        // A test that failed half-way leaves containers; their image could not be removed then.
        let (engine, instance) = (Arc::clone(&self.engine), self.instance);
        let clearing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for container in engine.list_ours(instance).await.unwrap_or_default() {
                    let _ = engine.kill(&container.name).await;
                    let _ = tokio::time::timeout(PATIENCE, engine.wait(&container.name)).await;
                    let _ = engine.remove(&container.name).await;
                }
            });
        });
        let _ = clearing.join();
    }
}

impl Launcher {
    fn run<F>(threads: usize, serve: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).enable_all().build().unwrap();
        let shutdown = CancellationToken::new();
        let served = runtime.spawn(serve(shutdown.clone()));
        Self { id: uuid::Uuid::nil().into(), runtime: Some(runtime), served: Some(served), shutdown }
    }

    /// As SIGKILL does: nothing of it runs any more, and it says no farewell.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    fn has_ended(&self) -> bool {
        self.served.as_ref().is_none_or(tokio::task::JoinHandle::is_finished)
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), Error> {
        let ended = self.served.take().unwrap().await.unwrap();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        ended
    }

    /// As SIGTERM does; waits for its end.
    pub async fn stop(self) -> Result<(), Error> {
        self.shutdown.cancel();
        self.ended().await
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An attempt with its RunJob.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub state: String,
    pub fence: i32,
    pub launcher_id: Option<uuid::Uuid>,
    pub exit_code: Option<i32>,
    pub failure: Option<String>,
    pub failure_detail: Option<String>,
    pub container_id: Option<String>,
    pub stop_reason: Option<String>,
    pub released: bool,
    pub status: String,
    pub result: Option<serde_json::Value>,
    pub progress: Option<serde_json::Value>,
    pub job_failure: Option<String>,
}
