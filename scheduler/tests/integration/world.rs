//! An installation in a test: hosts with launchers that have no containers, and Runs on them.
//!
//! The fake launcher uses the launchers' own SQL and goes straight through the transitions, so that everything a
//! scheduler sees is what a real one would leave.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_common::{
    db::{
        self, Pool,
        attempts::release,
        audit::Entry,
        contact::{GuardState, contact},
        gpus::{self, GpuFacts, Observed},
        hosts::{self, HostFacts},
        launchers::{self, LauncherFacts},
        offers::{self, Taken},
        transition::{Facts, Step, transition_all},
    },
    ids::fresh,
    launch::{self, LaunchRequest},
    wake::CAPACITY_FREED,
};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{GpuUuid, HostId, LauncherId, RunId, RunJobId},
    lifecycle::{Event, Outcome, RunJobStatus, RunStatus},
};
use cyberbrain_scheduler::{Options, StaleGpus, Tick};
use cyberbrain_testkit::TestDb;
use serde_json::{Value, json};
use sqlx::Connection as _;
use uuid::Uuid;

/// Longest wait for anything in these tests; far more than it takes.
pub const LIMIT: Duration = Duration::from_secs(60);
pub const LAUNCHER: Actor = Actor::System("launcher");

pub struct World {
    pub db: TestDb,
    pub pool: Pool,
}

/// A host with one launcher.
#[derive(Debug, Clone)]
pub struct Host {
    pub pool: Pool,
    pub id: HostId,
    pub launcher: LauncherId,
    pub gpus: Vec<GpuUuid>,
}

impl World {
    pub async fn new() -> Option<Self> {
        let db = TestDb::new().await?;
        let pool = db::pool(&db.url, "test", db::PoolSize(24)).unwrap();
        Some(Self { db, pool })
    }

    /// A large host, reconciled, with cards of these sizes (MiB) that have been sampled once.
    pub async fn host(&self, name: &str, cards: &[u32]) -> Host {
        let mut tx = self.pool.begin().await.unwrap();
        let id = hosts::register(&mut tx, &facts(name)).await.unwrap();
        let launcher = fresh();
        launchers::register(&mut tx, &launcher_facts(launcher, id)).await.unwrap();
        let card = |(index, total_mib): (usize, &u32)| GpuFacts {
            uuid: GpuUuid::new(format!("GPU-{name}-{index}")),
            index: u32::try_from(index).unwrap(),
            model: "test".into(),
            simulated: true,
            total_mib: *total_mib,
            allocatable_mib: *total_mib,
        };
        let cards: Vec<GpuFacts> = cards.iter().enumerate().map(card).collect();
        gpus::register(&mut tx, id, &cards).await.unwrap();
        hosts::mark_reconciled(&mut tx, id).await.unwrap();
        tx.commit().await.unwrap();
        let gpus = cards.into_iter().map(|card| card.uuid).collect();
        let host = Host { pool: self.pool.clone(), id, launcher, gpus };
        host.sample().await;
        host
    }

    pub async fn launch(&self, request: Value) -> RunId {
        self.launch_as("tester", request).await
    }

    pub async fn launch_as(&self, submitter: &str, request: Value) -> RunId {
        let request: LaunchRequest = serde_json::from_value(request).unwrap();
        launch::launch(&self.pool, &request, &Actor::Key(submitter.to_owned()), None).await.unwrap().run
    }

    /// A Run of so many RunJobs that want nothing but a CPU.
    pub async fn launch_cpu(&self, run_jobs: usize) -> RunId {
        self.launch(json!({ "directive": "D2", "run_jobs": vec![json!({ "job": "gpu_report" }); run_jobs] }))
            .await
    }

    /// A Run of one RunJob per size, each on one GPU with that much memory or nowhere.
    pub async fn launch_gpu(&self, sizes_mib: &[u32]) -> RunId {
        let run_job =
            |mib: &u32| json!({ "job": "gpu_report", "gpu": { "policy": "require", "min_vram_mib": mib } });
        self.launch(
            json!({ "directive": "D2", "run_jobs": sizes_mib.iter().map(run_job).collect::<Vec<_>>() }),
        )
        .await
    }

    /// A tick that believes all samples.
    pub fn tick(&self) -> Tick {
        Tick::new(self.pool.clone(), Options::new("test").placement, StaleGpus::default())
    }

    pub async fn admit(&self, run: RunId) {
        cyberbrain_scheduler::admit(&self.pool, run).await.unwrap();
    }

    pub async fn run_status(&self, run: RunId) -> RunStatus {
        let status: String = self.scalar("select status from runs where id = $1", run.uuid()).await;
        status.parse().unwrap()
    }

    pub async fn run_jobs(&self, run: RunId) -> Vec<RunJob> {
        let rows: Vec<RunJobRow> = sqlx::query_as(
            "select j.id, j.name, j.status, j.failure, j.waiting_reason, h.name, j.attempts
             from run_jobs j left join hosts h on h.id = j.host_id where j.run_id = $1 order by j.ordinal",
        )
        .bind(run.uuid())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(id, name, status, failure, waiting_reason, host, attempts)| RunJob {
                id: id.into(),
                name,
                status: status.parse().unwrap(),
                failure,
                waiting_reason,
                host,
                attempts,
            })
            .collect()
    }

    pub async fn scalar<T>(&self, query: &'static str, id: Uuid) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(query).bind(id).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.pool).await.unwrap();
    }
}

type RunJobRow = (Uuid, String, String, Option<String>, Option<String>, Option<String>, i32);

/// What a test reads of a RunJob.
#[derive(Debug, Clone)]
pub struct RunJob {
    pub id: RunJobId,
    pub name: String,
    pub status: RunJobStatus,
    pub failure: Option<String>,
    pub waiting_reason: Option<String>,
    pub host: Option<String>,
    pub attempts: i32,
}

impl Host {
    /// One more process on the same host.
    pub async fn sibling(&self) -> Self {
        let launcher = fresh();
        let mut connection = self.pool.acquire().await.unwrap();
        launchers::register(&mut connection, &launcher_facts(launcher, self.id)).await.unwrap();
        Self { launcher, ..self.clone() }
    }

    pub async fn contact(&self, guard: GuardState) {
        let mut connection = self.pool.acquire().await.unwrap();
        contact(&mut connection, &[self.launcher], guard, &[]).await.unwrap();
    }

    /// Fresh, idle telemetry of all cards.
    pub async fn sample(&self) {
        let observed: Vec<Observed> = self
            .gpus
            .iter()
            .map(|gpu| Observed {
                gpu_uuid: gpu.clone(),
                used_mib: 0,
                overshoot_mib: 0,
                foreign_mib: 0,
                utilization_percent: Some(0),
                temperature_celsius: None,
                power_milliwatts: None,
                throttle_reasons: None,
                ecc_corrected: None,
                ecc_uncorrected: None,
            })
            .collect();
        let mut connection = self.pool.acquire().await.unwrap();
        gpus::observe(&mut connection, &observed).await.unwrap();
    }

    pub async fn reconciled(&self) {
        let mut connection = self.pool.acquire().await.unwrap();
        hosts::mark_reconciled(&mut connection, self.id).await.unwrap();
    }

    pub async fn accept(&self, limit: u32) -> Vec<Taken> {
        let mut connection = self.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let taken = offers::accept(&mut tx, self.id, self.launcher, limit, &LAUNCHER).await.unwrap();
        tx.commit().await.unwrap();
        taken
    }

    pub async fn adopt(&self, limit: u32) -> Vec<Taken> {
        let mut connection = self.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let taken = offers::adopt(&mut tx, self.id, self.launcher, limit, &LAUNCHER).await.unwrap();
        tx.commit().await.unwrap();
        taken
    }

    /// From accepted to running.
    pub async fn start(&self, taken: &[Taken]) {
        self.step(taken, |taken| Event::Begin { fence: taken.fence }).await;
        self.step(taken, |taken| Event::Started { fence: taken.fence }).await;
    }

    /// To done, and then the place is given back, which is announced.
    pub async fn finish(&self, taken: &[Taken], outcome: Outcome) {
        self.step(taken, |taken| Event::Finish { fence: taken.fence, outcome }).await;
        self.release(taken).await;
    }

    pub async fn release(&self, taken: &[Taken]) {
        let mut tx = self.pool.begin().await.unwrap();
        for taken in taken {
            release(&mut tx, taken.attempt, Entry::new(Operation::Remove, &LAUNCHER)).await.unwrap();
        }
        tx.commit().await.unwrap();
        sqlx::query("select pg_notify($1, '')").bind(CAPACITY_FREED).execute(&self.pool).await.unwrap();
    }

    /// Applies an event to each; all must apply.
    pub async fn step(&self, taken: &[Taken], event: impl Fn(&Taken) -> Event) {
        let steps: Vec<Step> = taken
            .iter()
            .map(|taken| Step {
                run_job: taken.run_job,
                event: event(taken),
                facts: Facts { boot_id: Some("boot".into()), ..Facts::default() },
            })
            .collect();
        let mut tx = self.pool.begin().await.unwrap();
        for outcome in transition_all(&mut tx, &steps, &LAUNCHER).await.unwrap() {
            outcome.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Takes what is offered and carries it through, until the future is dropped. Says that it is alive.
    pub async fn work(self, at_once: u32) {
        loop {
            self.contact(GuardState::Present).await;
            self.sample().await;
            let taken = self.accept(at_once).await;
            if taken.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            self.start(&taken).await;
            self.finish(&taken, Outcome::Success).await;
        }
    }
}

fn facts(name: &str) -> HostFacts {
    HostFacts {
        engine_id: format!("engine-{name}"),
        machine_id: format!("machine-{name}"),
        name: name.to_owned(),
        boot_id: "boot".into(),
        runtime: "simulated",
        labels: BTreeMap::new(),
        cpu_millis: 100_000_000,
        memory_mib: 100_000_000,
        max_attempts: 10_000,
    }
}

fn launcher_facts(id: LauncherId, host: HostId) -> LauncherFacts {
    LauncherFacts {
        id,
        host,
        pid: 1,
        version: "test",
        files_url: None,
        metrics_url: None,
        logs_root: fresh(),
    }
}
