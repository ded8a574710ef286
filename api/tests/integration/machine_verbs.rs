//! Changing machines and queues: what is stored and shown, by whom, and what is refused.

use axum::body::Body;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api, request},
    machines,
};

const HOST: &str = "/api/v1/hosts/01930000-0000-7000-8000-000000000001";
const NOBODY: &str = "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00";

/// Sends a JSON body as an admin.
async fn admin(api: &Api, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    api.send(request("POST", path, Some(&api.admin), &headers, Body::from(body.to_string()))).await
}

async fn changes(api: &Api) -> Vec<(String, Option<String>, Value)> {
    sqlx::query_as(
        "select actor, selection_reason, config_snapshot from worker_audit where operation = 'change'
             and config_snapshot <> '{}' order by at, id",
    )
    .fetch_all(&mut api.db.connect().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn hosts_are_cordoned_drained_and_opened_with_a_reason_and_an_audit_row() {
    let Some(api) = Api::start().await else { return };
    machines::host(&api).await;
    let before = changes(&api).await.len();
    for (verb, cordoned, draining) in
        [("cordon", true, false), ("drain", false, true), ("uncordon", false, false)]
    {
        let body = json!({ "reason": format!("{verb} it") });
        let answer = api.post(&format!("{HOST}/{verb}"), Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let shown = api.get(HOST).await.json();
        assert_eq!(answer.json(), shown);
        assert_eq!((&shown["cordoned"], &shown["draining"]), (&json!(cordoned), &json!(draining)), "{verb}");
        let why = if verb == "uncordon" { Value::Null } else { body["reason"].clone() };
        assert_eq!(shown["cordon_reason"], why);
        let rows = changes(&api).await;
        let row = rows.last().unwrap();
        let told = (row.0.as_str(), row.1.as_deref(), &row.2);
        assert_eq!(told, ("key:operator", body["reason"].as_str(), &json!({ "host": verb })));
    }
    assert_eq!(changes(&api).await.len(), before + 3);
    for (body, status) in [
        (json!({}), 422),
        (json!({ "reason": " " }), 422),
        (json!({ "reason": "two\nlines" }), 422),
        (json!({ "reason": "x".repeat(501) }), 422),
        (json!({ "reason": "x", "force": true }), 422),
    ] {
        let answer = api.post(&format!("{HOST}/cordon"), Some(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let reason = json!({ "reason": "x" });
    assert_eq!(api.post(&format!("/api/v1/hosts/{NOBODY}/cordon"), Some(&reason)).await.status, 404);
    assert_eq!(api.get(&format!("/api/v1/hosts/{NOBODY}")).await.status, 404);
    assert_eq!(changes(&api).await.len(), before + 3, "nothing of it was stored");
}

#[tokio::test]
async fn cards_are_cordoned_by_their_uuid() {
    let Some(api) = Api::start().await else { return };
    machines::host(&api).await;
    let reason = json!({ "reason": "ECC errors" });
    let answer = api.post("/api/v1/gpus/GPU-a/cordon", Some(&reason)).await;
    assert_eq!((answer.status, &answer.json()["cordon_reason"]), (200, &json!("ECC errors")));
    assert_eq!(api.get("/api/v1/gpus/GPU-a").await.json()["cordoned"], true);
    assert_eq!(api.get("/api/v1/gpus/GPU-b").await.json()["cordoned"], false);
    let answer = api.post("/api/v1/gpus/GPU-a/uncordon", Some(&reason)).await;
    assert_eq!((&answer.json()["cordoned"], &answer.json()["cordon_reason"]), (&json!(false), &Value::Null));
    assert_eq!(changes(&api).await.last().unwrap().2, json!({ "gpu": "uncordon" }));
    assert_eq!(api.post("/api/v1/gpus/GPU-z/cordon", Some(&reason)).await.status, 404);
}

#[tokio::test]
async fn a_host_is_forgotten_only_when_nothing_is_left_there() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    machines::run_one(&api, run["run_jobs"][0]["id"].as_str().unwrap()).await;
    let (path, reason) = (format!("{HOST}/forget"), json!({ "reason": "sold" }));
    assert_eq!(api.post(&path, Some(&reason)).await.status, 403, "that is for admins");
    let answer = admin(&api, &path, &reason).await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict".to_owned()));
    assert!(answer.text().contains("1 launchers of host box are in contact"), "{}", answer.text());
    api.execute("update launchers set state = 'silent'").await;
    let answer = admin(&api, &path, &reason).await;
    assert!(answer.status == 409 && answer.text().contains("1 attempts still hold"), "{}", answer.text());
    api.execute("update attempts set state = 'lost', ended_at = now(), released_at = now()").await;
    assert_eq!(admin(&api, &path, &reason).await.status, 204);
    assert_eq!(api.get("/api/v1/hosts").await.json(), json!({ "hosts": [] }));
    assert_eq!(api.get("/api/v1/gpus").await.json(), json!({ "gpus": [] }));
    assert_eq!(admin(&api, &path, &reason).await.status, 404, "it is gone");
    let history = api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(history["run_jobs"][0]["host"], "box", "what ran there says so still");
}

#[tokio::test]
async fn a_worker_is_listed_while_it_lives_and_stopped_by_its_attempt() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["gpu_report", "log_triage", "service_map"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let job = |n: usize| run["run_jobs"][n]["id"].as_str().unwrap();
    machines::run_one(&api, job(0)).await;
    machines::run_one(&api, job(1)).await;
    let page = api.get("/api/v1/workers?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/api/v1/workers?limit=1&cursor={cursor}")).await.json();
    assert_eq!(second["next_cursor"], Value::Null);
    let (newer, older) = (&page["workers"][0], &second["workers"][0]);
    assert_eq!((&newer["run_job_id"], &older["run_job_id"]), (&json!(job(1)), &json!(job(0))));
    assert_eq!(
        (&older["host"], &older["state"], &older["job"], &older["container_id"], &older["gpus"]),
        (&json!("box"), &json!("running"), &json!("gpu_report"), &json!("c0ffee"), &json!(["GPU-a"]))
    );
    let count = async |query: &str| {
        let page = api.get(&format!("/api/v1/workers{query}")).await.json();
        page["workers"].as_array().unwrap().len()
    };
    assert_eq!((count("").await, count("?host=box").await, count("?host=other").await), (2, 2, 0));

    let path = format!("/api/v1/workers/{}/stop", older["id"].as_str().unwrap());
    let answer = api.post(&path, None).await;
    assert_eq!((answer.status, &answer.json()["id"]), (202, &json!(job(0))), "{}", answer.text());
    let told = "select count(*) from run_jobs where cancel_requested_at is not null";
    assert_eq!(api.count(told).await, 1, "its launcher hears of it, and of no other");
    let stored = api.stored().await;
    assert_eq!(api.post(&path, None).await.status, 202, "again");
    assert_eq!(api.stored().await, stored);
    assert_eq!(api.post(&format!("/api/v1/workers/{NOBODY}/stop"), None).await.status, 404);
}

#[tokio::test]
async fn stopping_a_worker_that_is_over_hits_no_later_one_of_its_run_job() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let job = run["run_jobs"][0]["id"].as_str().unwrap();
    machines::run_one(&api, job).await;
    let over = api.get("/api/v1/workers").await.json()["workers"][0]["id"].as_str().unwrap().to_owned();
    api.execute(
        "update attempts set state = 'lost', ended_at = now(), released_at = now();
         update gpu_leases set released_at = now();
         update run_jobs set status = 'pending'",
    )
    .await;
    machines::offer(&api, job).await;
    let answer = api.post(&format!("/api/v1/workers/{over}/stop"), None).await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict".to_owned()));
    assert_eq!(api.count("select count(*) from run_jobs where cancel_requested_at is not null").await, 0);
}

#[tokio::test]
async fn queues_tell_what_waits_and_who_paused_them() {
    let Some(api) = Api::start().await else { return };
    api.launch(&json!({ "jobs": ["gpu_report", "service_map"] })).await;
    let queues = api.get("/api/v1/queue").await.json();
    let of = |queues: &Value, name: &str| {
        let all = queues["queues"].as_array().unwrap();
        all.iter().find(|queue| queue["queue"] == name).unwrap().clone()
    };
    assert_eq!(
        (&of(&queues, "runs")["depth"], &of(&queues, "run_jobs")["depth"]),
        (&json!(1), &json!(1)),
        "one task for both"
    );
    assert!(of(&queues, "runs")["oldest_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(
        of(&queues, "launch"),
        json!({ "queue": "launch", "depth": 0, "oldest_seconds": 0.0, "paused": null })
    );
    assert_eq!(
        (&queues["waiting"][0]["reason"], &queues["waiting"][0]["run_jobs"]),
        (&Value::Null, &json!(2))
    );

    let (pause, resume) = ("/api/v1/queue/pause", "/api/v1/queue/resume");
    let one = json!({ "queue": "run_jobs", "reason": "moving the storage" });
    assert_eq!(api.post(pause, Some(&one)).await.status, 403);
    let answer = admin(&api, pause, &one).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let paused = of(&answer.json(), "run_jobs")["paused"].clone();
    assert_eq!((&paused["by"], &paused["reason"]), (&json!("key:boss"), &json!("moving the storage")));
    assert_eq!(of(&answer.json(), "runs")["paused"], Value::Null);
    let all = json!({ "reason": "all of them" });
    let answer = admin(&api, pause, &all).await.json();
    assert!(
        answer["queues"].as_array().unwrap().iter().all(|queue| queue["paused"]["reason"] == "all of them")
    );
    let answer = admin(&api, resume, &all).await.json();
    assert!(answer["queues"].as_array().unwrap().iter().all(|queue| queue["paused"].is_null()));
    let told: Vec<Value> =
        changes(&api).await.into_iter().rev().take(3).map(|row| row.2["change"].clone()).collect();
    assert_eq!(told, [json!("resume"), json!("pause"), json!("pause")]);
    for body in [json!({ "queue": "all", "reason": "x" }), json!({ "queue": "runs" })] {
        assert_eq!(admin(&api, pause, &body).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn a_cleanup_is_asked_for_once_and_its_outcome_is_shown() {
    let Some(api) = Api::start().await else { return };
    machines::host(&api).await;
    assert_eq!(api.get(HOST).await.json()["last_cleanup"], Value::Null);
    let path = format!("{HOST}/cleanup-orphans");
    for _ in 0..2 {
        let answer = api.post(&path, None).await;
        let cleanup = answer.json()["last_cleanup"].clone();
        assert_eq!((answer.status, &cleanup["requested_by"]), (202, &json!("key:operator")));
        assert_eq!((&cleanup["done_at"], &cleanup["seen"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(api.count("select count(*) from host_cleanups").await, 1, "one that is to be done is enough");
    api.execute("update host_cleanups set done_at = now(), seen = 3, removed = 2, quarantined = 1").await;
    let cleanup = api.get(HOST).await.json()["last_cleanup"].clone();
    assert_eq!(
        (&cleanup["seen"], &cleanup["removed"], &cleanup["quarantined"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(api.post(&path, None).await.json()["last_cleanup"]["done_at"], Value::Null, "a new one");
    assert_eq!(api.post(&format!("/api/v1/hosts/{NOBODY}/cleanup-orphans"), None).await.status, 404);
}
