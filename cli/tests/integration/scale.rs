//! Many hosts without many machines: the simulated runtime speaks the whole real protocol.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use cyberbrain_common::ready::{self, Ready};
use cyberbrain_testkit::{TestDb, wait_for};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::{Api, binary};

const START_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_LIMIT: Duration = Duration::from_secs(900);
const HOSTS: usize = 50;
const RUN_JOBS: usize = 5_000;

/// One role on a given database, without `up`. Killed when dropped.
async fn role(kind: &str, args: &[&str], database: &str, dir: &Path) -> (Child, Ready) {
    let file = dir.join(format!("{kind}.ready"));
    let child = Command::new(binary())
        .arg(kind)
        .args(args)
        .arg("--ready-file")
        .arg(&file)
        .env("DATABASE_URL", database)
        .env("CYBERBRAIN_DATA_DIR", dir)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the executable starts");
    let ready =
        wait_for(&format!("{kind} to serve"), START_LIMIT, async || ready::read(&file).ok().flatten()).await;
    (child, ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_hosts_with_eight_gpus_each_drain_five_thousand_run_jobs() {
    let Some(db) = TestDb::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (_api, api) = role("api", &["--bind", "127.0.0.1:0"], &db.url, dir.path()).await;
    let (_scheduler, _) = role("scheduler", &[], &db.url, dir.path()).await;
    let hosts = HOSTS.to_string();
    let simulated = ["--runtime", "simulated", "--hosts", &hosts, "--fake-gpus", "8x24576"];
    let (_launcher, _) = role("launcher", &simulated, &db.url, dir.path()).await;
    let key = std::fs::read_to_string(dir.path().join("admin.key")).unwrap();
    let api = Api::new(&api.url.unwrap(), key.trim());

    let pool = db.pool();
    // A job that needs nothing staged: 5,000 reports on 400 GPUs would measure the reading of samples.
    sqlx::query(
        "insert into jobs (id, task_key, name, spec)
         select gen_random_uuid(), 'load', 'load', jsonb_set(spec, '{task_key}', '\"load\"') from jobs
         where task_key = 'gpu_report'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let gpu = json!({"policy": "require", "count": 1, "min_vram_mib": 8_000});
    let jobs: Vec<Value> = (0..RUN_JOBS).map(|_| json!({"job": "load", "gpu": gpu})).collect();
    let began = Instant::now();
    let run = api.launch(json!(jobs)).await;
    wait_for("the end of 5,000 run jobs", DRAIN_LIMIT, async || {
        let open: i64 = sqlx::query_scalar("select count(*) from runs where finished_at is null")
            .fetch_one(&pool)
            .await
            .ok()?;
        (open == 0).then_some(())
    })
    .await;
    println!("{RUN_JOBS} run jobs on {HOSTS} hosts drained in {:.1} s", began.elapsed().as_secs_f64());
    let status: String = sqlx::query_scalar("select status from runs where id = $1::uuid")
        .bind(run)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(status, "success");
    // An offer that a busy launcher left lying is placed again; that is an attempt which never ran.
    let used: i64 =
        sqlx::query_scalar("select count(distinct host_id) from attempts").fetch_one(&pool).await.unwrap();
    let twice: i64 = sqlx::query_scalar(
        "select count(*) from (select run_job_id from attempts where state = 'done' and failure is null
                               group by run_job_id having count(*) > 1) again",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(usize::try_from(used).unwrap(), HOSTS, "every host worked");
    assert_eq!(twice, 0, "no job succeeded twice");
    let held: i64 = wait_for("all leases released", START_LIMIT, async || {
        let held = sqlx::query_scalar("select coalesce(sum(reserved_mib), 0)::bigint from gpus")
            .fetch_one(&pool)
            .await
            .ok()?;
        (held == 0).then_some(held)
    })
    .await;
    assert_eq!(held, 0);
}
