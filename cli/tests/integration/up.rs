//! `up`: what it says, what it leaves, and what it survives.

use std::{net::TcpListener, process::Command, time::Duration};

use cyberbrain_testkit::{Need, require, wait_until};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Installation, binary, docker, lives, signal};

const SETTLE: Duration = Duration::from_secs(60);

/// Nothing of ours is left: no process, and no container with the installation's label.
async fn assert_nothing_left(pids: &[i32], instance: &str) {
    for pid in pids {
        wait_until(&format!("the end of process {pid}"), SETTLE, async || !lives(*pid)).await;
    }
    if require(Need::Docker) {
        wait_until("no container of ours", SETTLE, async || docker::all(instance).is_empty()).await;
    }
}

#[tokio::test]
async fn one_line_tells_everything_and_ctrl_c_leaves_nothing() {
    if !require(Need::Postgres) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &["--launchers", "2", "--schedulers", "2"]).await;
    for role in ["api", "scheduler", "launcher", "guard", "postgres"] {
        assert!(!up.pids(role).is_empty(), "no {role} in {}", up.ready);
    }
    assert_eq!((up.pids("launcher").len(), up.pids("scheduler").len()), (2, 2));
    assert_eq!(up.ready["data_dir"], json!(dir.path()));
    let api = up.ready["api"].as_str().unwrap();
    let probe = |path: &str| Command::new(binary()).arg("probe").arg(format!("{api}{path}")).status();
    assert!(probe("/readyz").unwrap().success());
    assert_eq!(probe("/api/v1/hosts").unwrap().code(), Some(1), "without a key the answer is 401");
    let hosts = up.api.get("/hosts").await;
    assert_eq!(hosts["hosts"].as_array().map(Vec::len), Some(1), "two launchers, one host: {hosts}");
    let instance = up.instance().await;
    let ended = up.interrupt().await;
    assert!(ended.status.success(), "{}", ended.status);
    assert_nothing_left(&ended.pids, &instance).await;
}

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first() {
    if !require(Need::Postgres) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = Installation::up(dir.path(), &[]).await;
    let run = first.api.launch(json!([{"job": "gpu_report"}])).await;
    first.api.finished(&run, SETTLE).await;
    let key = first.ready["admin_key"].clone();
    first.interrupt().await;
    let second = Installation::up(dir.path(), &[]).await;
    assert_eq!(second.ready["admin_key"], key);
    assert_eq!(second.api.get(&format!("/runs/{run}")).await["status"], "success");
    second.interrupt().await;
}

#[tokio::test]
async fn a_taken_port_gives_the_next_one() {
    if !require(Need::Postgres) {
        return;
    }
    // Whoever holds it: after this, the usual port is taken.
    let _taken = TcpListener::bind("127.0.0.1:9595");
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &[]).await;
    assert_ne!(up.ready["api"], "http://127.0.0.1:9595");
    up.api.get("/runs").await;
    up.interrupt().await;
}

#[tokio::test]
async fn a_role_that_dies_is_started_again() {
    if !require(Need::Postgres) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &[]).await;
    for role in ["scheduler", "launcher"] {
        signal(up.pids(role)[0], Signal::KILL);
    }
    let run = up.api.launch(json!([{"job": "gpu_report"}])).await;
    assert_eq!(up.api.finished(&run, Duration::from_secs(90)).await["status"], "success");
    up.interrupt().await;
}

#[tokio::test]
async fn after_kill_9_the_next_start_leaves_nothing_of_the_first() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = Installation::up(dir.path(), &[]).await;
    first.add_job("sleeper", &["self-test", "sleep"], |_| {}).await;
    let run = first.api.launch(json!([{"job": "sleeper"}])).await;
    wait_until("the job runs", SETTLE, async || {
        first.api.get(&format!("/runs/{run}")).await["run_jobs"][0]["status"] == "running"
    })
    .await;
    let instance = first.instance().await;
    let killed = first.kill().await;
    let second = Installation::up(dir.path(), &[]).await;
    for pid in &killed.pids {
        wait_until(&format!("the end of process {pid}"), SETTLE, async || !lives(*pid)).await;
    }
    second.api.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(second.api.finished(&run, SETTLE).await["status"], "cancelled");
    let ended = second.interrupt().await;
    assert_nothing_left(&ended.pids, &instance).await;
}
