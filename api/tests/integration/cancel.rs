//! Cancelling: what waits ends, what runs is told, and repeating changes nothing.

use serde_json::{Value, json};

use crate::{harness::Api, machines};

fn statuses(run: &Value) -> Vec<&str> {
    run["run_jobs"].as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_waits_ends_at_once_and_is_audited() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"] })).await;
    let path = format!("/api/v1/runs/{id}/cancel");
    let answer = api.post(&path, None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    assert_eq!(statuses(&run), ["cancelled", "cancelled"]);
    assert_eq!(run["run_jobs"][0]["failure"]["kind"], "cancelled");
    let by_whom = "select count(*) from worker_audit where operation = 'cancel' and actor = 'key:operator'";
    assert_eq!(api.count(by_whom).await, 3, "the run and each run job");
    let close = "select count(*) from apalis.jobs where convert_from(job, 'UTF8') like '%\"close\"%'";
    assert_eq!(api.count(close).await, 1, "the run is to be closed");
    let stored = api.stored().await;
    assert_eq!(api.post(&path, None).await.status, 202);
    assert_eq!(api.stored().await, stored, "repeating it writes nothing");
}

#[tokio::test]
async fn what_a_launcher_has_is_only_told() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage", "log_triage", "gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let job = |n: usize| run["run_jobs"][n]["id"].as_str().unwrap().to_owned();
    // The first runs, the second has an offer that nobody took, the third waits.
    machines::run_one(&api, &job(0)).await;
    machines::offer(&api, &job(1)).await;
    let answer = api.post(&format!("/api/v1/runs/{id}/cancel"), None).await;
    assert_eq!(answer.status, 202);
    assert_eq!(statuses(&answer.json()), ["running", "cancelled", "cancelled"]);
    let noted = "select count(*) from run_jobs where cancel_requested_at is not null";
    assert_eq!(api.count(noted).await, 3);
    let told = "select count(*) from run_jobs where status = 'running' and cancel_requested_at is not null";
    assert_eq!(api.count(told).await, 1, "its launcher sees this with its next contact");
    let held = "select count(*) from attempts where released_at is null";
    assert_eq!(api.count(held).await, 1, "the offer's place is free again");
    let stored = api.stored().await;
    assert_eq!(api.post(&format!("/api/v1/runs/{id}/cancel"), None).await.status, 202);
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn one_run_job_is_cancelled_by_itself() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let path = format!("/api/v1/run-jobs/{}/cancel", run["run_jobs"][0]["id"].as_str().unwrap());
    let answer = api.post(&path, None).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("cancelled")), "{}", answer.text());
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(statuses(&run), ["cancelled", "pending"]);
    let stored = api.stored().await;
    assert_eq!(api.post(&path, None).await.status, 200, "it had ended before");
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn a_running_run_job_is_told_once() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let run_job = run["run_jobs"][0]["id"].as_str().unwrap();
    machines::run_one(&api, run_job).await;
    let path = format!("/api/v1/run-jobs/{run_job}/cancel");
    let first = api.post(&path, None).await;
    assert_eq!((first.status, &first.json()["status"]), (202, &json!("running")));
    let stored = api.stored().await;
    assert_eq!(api.post(&path, None).await.status, 202);
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn a_run_that_has_ended_stays_as_it_is() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    api.execute(
        "update run_jobs set status = 'success', finished_at = now();
         update runs set status = 'success', finished_at = now()",
    )
    .await;
    let stored = api.stored().await;
    let answer = api.post(&format!("/api/v1/runs/{id}/cancel"), None).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("success")));
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn ten_thousand_are_cancelled_in_one_transaction() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": vec!["log_triage"; 10_000] })).await;
    let before = std::time::Instant::now();
    let answer = api.post(&format!("/api/v1/runs/{id}/cancel"), None).await;
    eprintln!("cancelling 10,000 run jobs, answer included, took {:?}", before.elapsed());
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(api.count("select count(*) from run_jobs where status = 'cancelled'").await, 10_000);
}
