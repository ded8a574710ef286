//! Every stage leaves its audit row and its count.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_core::audit::Operation;
use cyberbrain_testkit::{Need, require, wait_until};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Installation, docker, signal};

const LIMIT: Duration = Duration::from_secs(120);

/// `audit_rows_total` by process and stage, as a monitoring system keeps it: what a process had counted stays counted
/// when it is gone.
#[derive(Debug, Default)]
struct Scraped(BTreeMap<(String, String), u64>);

impl Scraped {
    /// Reads every process that lives now.
    async fn scrape(&mut self, up: &Installation) {
        let urls = "select metrics_url from launchers where state = 'live' and metrics_url is not null";
        let urls: Vec<String> = sqlx::query_scalar(urls).fetch_all(&up.pool()).await.unwrap();
        let fixed =
            ["api", "scheduler"].map(|role| up.ready["metrics"][role][0].as_str().expect("a URL").to_owned());
        for url in urls.iter().chain(&fixed) {
            let Some(text) = up.api.text(url).await else { continue };
            for line in
                text.lines().filter_map(|line| line.strip_prefix("cyberbrain_audit_rows_total{stage=\""))
            {
                let (stage, count) = line.split_once("\"} ").expect("one label and a value");
                self.0.insert((url.clone(), stage.to_owned()), count.parse().expect("a count"));
            }
        }
    }

    fn has(&self, wanted: &str) -> bool {
        self.0.iter().any(|((_, stage), count)| stage == wanted && *count > 0)
    }

    /// Reads until the stage was counted by anyone.
    async fn wait_for(&mut self, up: &Installation, stage: &str) {
        let scraped = tokio::sync::Mutex::new(self);
        wait_until(&format!("{stage} to be counted"), LIMIT, async || {
            let mut scraped = scraped.lock().await;
            scraped.scrape(up).await;
            scraped.has(stage)
        })
        .await;
    }
}

#[tokio::test]
async fn each_stage_of_a_run_has_its_audit_row_and_its_count() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Installation::up(dir.path(), &["--launchers", "2", "--fake-gpus", "1x8192"]).await;
    up.add_job("fails_once_more", &["self-test", "exit", "--code", "3"], |spec| spec.retry.max_attempts = 2)
        .await;
    up.add_job("sleeps", &["self-test", "sleep", "--seconds", "25"], |_| {}).await;
    up.add_job("is_cancelled", &["self-test", "sleep"], |_| {}).await;
    let run = up
        .api
        .launch(json!([
            {"job": "gpu_report", "gpu": {"policy": "prefer", "count": 1, "min_vram_mib": 10_000}},
            {"job": "fails_once_more"},
            {"job": "sleeps"},
            {"job": "is_cancelled"},
            {"job": "gpu_report", "name": "never", "gpu": {"policy": "require", "count": 1, "min_vram_mib": 10_000}},
        ]))
        .await;
    let path = format!("/runs/{run}");
    wait_until("both sleepers run", LIMIT, async || {
        let jobs = up.api.get(&path).await;
        let jobs = jobs["run_jobs"].as_array().expect("run_jobs").clone();
        jobs.iter().filter(|job| job["status"] == "running" && job["job"] != "fails_once_more").count() >= 2
    })
    .await;
    // What the launchers count until now goes with them.
    let mut counted = Scraped::default();
    counted.wait_for(&up, "retry").await;
    let detail = up.api.get(&path).await;
    let cancelled =
        detail["run_jobs"].as_array().unwrap().iter().find(|job| job["job"] == "is_cancelled").unwrap();
    up.api.post(&format!("/run-jobs/{}/cancel", cancelled["id"].as_str().unwrap()), &json!({})).await;
    signal(up.pids("launcher")[0], Signal::KILL);
    signal(up.pids("launcher")[1], Signal::KILL);
    up.api.finished(&run, LIMIT).await;
    // Once more from end to end, counted by the launchers that live now.
    let again = up.api.launch(json!([{"job": "gpu_report"}])).await;
    assert_eq!(up.api.finished(&again, LIMIT).await["status"], "success");

    // A container with our labels that no row knows is left alone and told.
    let stranger = docker::stranger(&up.instance().await);
    counted.wait_for(&up, "error").await;
    docker::remove(&stranger);
    counted.wait_for(&up, "remove").await;

    let rows = "select operation, count(*) from worker_audit group by 1";
    let rows: Vec<(String, i64)> = sqlx::query_as(rows).fetch_all(&up.pool()).await.unwrap();
    let rows: BTreeMap<String, i64> = rows.into_iter().collect();
    // A change is made by a person, not by a Run.
    for operation in Operation::ALL.iter().filter(|operation| **operation != Operation::Change) {
        let stage = operation.as_str();
        assert!(rows.contains_key(stage), "no {stage} in the audit trail: {rows:?}");
        assert!(counted.has(stage), "no {stage} was counted: {counted:?}");
    }
    up.interrupt().await;
}
