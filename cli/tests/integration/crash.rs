//! Launchers that are killed while their worker runs: the work goes on, once, and ends with the truth.

use std::{collections::BTreeSet, time::Duration};

use cyberbrain_testkit::{Need, require, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Installation, docker, signal};

const LIMIT: Duration = Duration::from_secs(120);

async fn run_job(up: &Installation, run: &str) -> Value {
    let run = up.api.get(&format!("/runs/{run}")).await;
    let id = run["run_jobs"][0]["id"].as_str().expect("an id").to_owned();
    up.api.get(&format!("/run-jobs/{id}")).await
}

async fn wait_for_status(up: &Installation, run: &str, status: &str) {
    wait_until(&format!("status {status}"), LIMIT, async || {
        up.api.get(&format!("/runs/{run}")).await["run_jobs"][0]["status"] == status
    })
    .await;
}

/// Every container id that the audit trail knows for a RunJob.
fn containers(run_job: &Value) -> BTreeSet<String> {
    let audit = run_job["audit"].as_array().expect("audit rows");
    audit.iter().filter_map(|row| row["container_id"].as_str()).map(str::to_owned).collect()
}

fn operations(run_job: &Value) -> Vec<String> {
    let audit = run_job["audit"].as_array().expect("audit rows");
    audit.iter().map(|row| row["operation"].as_str().expect("an operation").to_owned()).collect()
}

#[tokio::test]
async fn a_killed_launchers_worker_is_adopted_and_ends_with_its_own_exit_code() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &[]).await;
    up.add_job("sleeps_then_succeeds", &["self-test", "sleep", "--seconds", "12"], |_| {}).await;
    let run = up.api.launch(json!([{"job": "sleeps_then_succeeds"}])).await;
    wait_for_status(&up, &run, "running").await;
    signal(up.pids("launcher")[0], Signal::KILL);
    let finished = up.api.finished(&run, LIMIT).await;
    assert_eq!(finished["status"], "success", "{finished}");
    let job = run_job(&up, &run).await;
    assert!(operations(&job).contains(&"adopt".to_owned()), "{job}");
    assert_eq!(containers(&job).len(), 1, "one container in all: {job}");
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "adopted, not tried again: {job}");
    up.interrupt().await;
}

#[tokio::test]
async fn a_worker_that_ended_while_nobody_watched_keeps_its_exit_code() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &[]).await;
    // Ends with 3 about a second after its start: while the launcher is stopped, then dead.
    up.add_job("exits_with_3", &["self-test", "exit", "--code", "3", "--after-seconds", "2"], |_| {}).await;
    let run = up.api.launch(json!([{"job": "exits_with_3"}])).await;
    wait_for_status(&up, &run, "running").await;
    let launcher = up.pids("launcher")[0];
    signal(launcher, Signal::STOP);
    let instance = up.instance().await;
    wait_until("the container has ended", LIMIT, async || docker::running(&instance).is_empty()).await;
    signal(launcher, Signal::KILL);
    let finished = up.api.finished(&run, LIMIT).await;
    assert_eq!(finished["status"], "failed", "{finished}");
    let job = run_job(&up, &run).await;
    assert_eq!(job["attempts"][0]["exit_code"], 3, "{job}");
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    up.interrupt().await;
}

#[tokio::test]
async fn two_launchers_share_the_work_of_their_host() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &["--launchers", "2"]).await;
    up.add_job("naps", &["self-test", "sleep", "--seconds", "3"], |_| {}).await;
    let jobs: Vec<Value> = (0..8).map(|_| json!({"job": "naps"})).collect();
    let pool = up.pool();
    // On a busy machine one of them may sleep through the moment that it is left; not through several.
    let mut launchers = 0;
    for _ in 0..5 {
        let run = up.api.launch(json!(jobs)).await;
        let finished = up.api.finished(&run, LIMIT).await;
        assert_eq!(finished["status"], "success", "{finished}");
        launchers = sqlx::query_scalar("select count(distinct launcher_id) from attempts")
            .fetch_one(&pool)
            .await
            .unwrap();
        if launchers == 2 {
            break;
        }
    }
    assert_eq!(launchers, 2_i64, "both launchers took work");
    up.interrupt().await;
}
