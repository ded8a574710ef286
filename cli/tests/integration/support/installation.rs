//! A running `cyberbrain up` (or `demo --keep`) and what a test does to it.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use cyberbrain_common::{
    db::{self, PoolSize},
    ids::fresh,
};
use cyberbrain_core::spec::{
    GpuRequest, ImageRef, JobSpec, Network, OnHostLost, Resources, RetryPolicy, Timeouts,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::Api;

/// Until `up` is ready: PostgreSQL, migrations, and in a debug build an image of some hundred MiB.
const START_LIMIT: Duration = Duration::from_secs(240);
/// Until `up` has ended everything.
const END_LIMIT: Duration = Duration::from_secs(120);

/// The executable under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cyberbrain"))
}

/// A running installation. Dropping it kills it; its leashes end the rest.
#[derive(Debug)]
pub struct Installation {
    child: Child,
    /// The line that `--json` prints when all is ready.
    pub ready: Value,
    pub api: Api,
}

/// An installation that has ended; its directory is still there for the next start.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub pids: Vec<i32>,
}

impl Installation {
    /// `cyberbrain up --json` with these further arguments.
    pub async fn up(data_dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("up").arg("--json").arg("--data-dir").arg(data_dir).args(args);
        Self::start(command).await
    }

    /// Starts `command` and waits for its line of JSON.
    pub async fn start(mut command: Command) -> Self {
        let mut child = command
            .env_remove("DATABASE_URL")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the executable starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let line = tokio::time::timeout(START_LIMIT, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("not ready in {START_LIMIT:?}"));
        let line = line.expect("standard output is text").expect("it prints a line before it ends");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        // Whoever prints more later must not block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let text = |key: &str| ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}")).to_owned();
        let api = Api::new(&text("api"), &text("admin_key"));
        Self { child, ready, api }
    }

    /// Process ids of one role.
    pub fn pids(&self, role: &str) -> Vec<i32> {
        let pids = self.ready["pids"][role].as_array().unwrap_or_else(|| panic!("no pids of {role}"));
        pids.iter().map(|pid| i32::try_from(pid.as_i64().expect("a pid")).expect("a pid")).collect()
    }

    /// Every process id that was announced.
    pub fn all_pids(&self) -> Vec<i32> {
        let roles = self.ready["pids"].as_object().expect("pids by role");
        roles.keys().flat_map(|role| self.pids(role)).collect()
    }

    /// The installation's database.
    pub fn pool(&self) -> db::Pool {
        let url = self.ready["database_url"].as_str().expect("a database URL");
        db::pool(url, "test", PoolSize(4)).expect("a PostgreSQL URL")
    }

    /// Id that labels its containers.
    pub async fn instance(&self) -> String {
        let pool = self.pool();
        let mut connection = pool.acquire().await.expect("the database answers");
        db::instance::read(&mut connection).await.expect("it is migrated").id.to_string()
    }

    /// Adds a job template that runs `cyberbrain worker <command>` in the built-in image.
    pub async fn add_job(&self, key: &str, command: &[&str], change: impl FnOnce(&mut JobSpec)) {
        let mut spec = JobSpec {
            task_key: key.to_owned(),
            image: ImageRef::builtin(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: std::collections::BTreeMap::new(),
            resources: Resources { cpu_millis: 100, memory_mib: 64, ..Resources::default() },
            gpu: GpuRequest::none(),
            timeouts: Timeouts { stop_grace_seconds: 2, ..Timeouts::default() },
            retry: RetryPolicy { max_attempts: 1, max_infra_failures: 5, backoff_seconds: 1 },
            network: Network::None,
            on_host_lost: OnHostLost::Replace,
            host: None,
            output: None,
            secrets: Vec::new(),
            caches: Vec::new(),
            pull: cyberbrain_core::grant::PullPolicy::default(),
        };
        change(&mut spec);
        sqlx::query("insert into jobs (id, task_key, name, spec) values ($1, $2, $2, $3)")
            .bind(fresh::<uuid::Uuid>())
            .bind(key)
            .bind(serde_json::to_value(spec).expect("a specification serializes"))
            .execute(&self.pool())
            .await
            .expect("the template is stored");
    }

    /// Ctrl-C, and the wait until everything has ended.
    pub async fn interrupt(mut self) -> Ended {
        let pids = self.all_pids();
        signal(self.pid(), Signal::INT);
        let status = tokio::time::timeout(END_LIMIT, self.child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("not ended in {END_LIMIT:?}")).expect("it can be waited for");
        Ended { status, pids }
    }

    /// `kill -9` of `up` itself.
    pub async fn kill(mut self) -> Ended {
        let pids = self.all_pids();
        signal(self.pid(), Signal::KILL);
        Ended { status: self.child.wait().await.expect("it can be waited for"), pids }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id().expect("it runs")).expect("a pid")
    }
}

/// Sends a signal to one process.
pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid is positive"), signal).expect("the process is there");
}

/// Whether a process with this id exists.
pub fn lives(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}
