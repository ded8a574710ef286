//! What a launch stores: all of it, in one transaction, frozen.

use std::time::Instant;

use cyberbrain_common::db::supervision;
use cyberbrain_core::{
    run::DirectiveSnapshot,
    spec::{GpuChoice, GpuPolicy, JobSpec, OnMiss},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{harness::Api, machines};

#[tokio::test]
async fn a_launch_stores_everything_at_once() {
    let Some(api) = Api::start().await else { return };
    let audit_before = api.count("select count(*) from worker_audit").await;
    let body = json!({
        "run_jobs": [
            { "job": "task1", "name": "night shift", "priority": 9, "timeout_seconds": 77, "params": { "a": 1 } },
            { "job": "gpu_report", "gpu": { "index": 1, "host": "box", "strict": true, "min_vram_mib": 5 } },
            { "job": "service_map" },
        ],
        "params": { "window": "1h" }, "priority": 3, "tags": ["night", "ü"],
    });
    let answer = api.post("/api/v1/runs", Some(&body)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id: Uuid = answer.json()["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer.headers["location"], format!("/api/v1/runs/{id}"));

    let mut connection = api.db.connect().await;
    let (status, directive, by, priority, tags, params, snapshot): (
        String,
        String,
        String,
        i16,
        Vec<String>,
        Value,
        Value,
    ) = sqlx::query_as(
        "select status, directive_type, requested_by, priority, tags, params, directive_snapshot from runs where id = $1",
    )
    .bind(id)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(
        (status.as_str(), directive.as_str(), by.as_str(), priority),
        ("pending", "D4", "operator", 3)
    );
    assert_eq!((tags, params), (vec!["night".to_owned(), "ü".to_owned()], json!({ "window": "1h" })));
    let snapshot: DirectiveSnapshot<Value> = serde_json::from_value(snapshot).unwrap();
    assert!(snapshot.name == "Custom" && snapshot.version == 1 && !snapshot.text.is_empty(), "{snapshot:?}");

    type Row = (String, String, i16, Value, Value, String, bool, String, f64);
    let rows: Vec<Row> = sqlx::query_as(
        "select task_key, name, priority, params, spec, shape, admitted, submitter,
             extract(epoch from deadline_at - created_at)::float8
         from run_jobs where run_id = $1 order by ordinal",
    )
    .bind(id)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let specs: Vec<JobSpec> = rows.iter().map(|row| serde_json::from_value(row.4.clone()).unwrap()).collect();
    assert_eq!((rows[0].0.as_str(), rows[0].1.as_str(), rows[0].2), ("log_triage", "night shift", 9));
    assert_eq!((rows[2].1.as_str(), rows[2].2), ("Service map", 3));
    assert_eq!((&rows[0].3, &rows[1].3), (&json!({ "a": 1 }), &json!({})));
    assert_eq!((specs[0].timeouts.run_seconds, specs[2].timeouts.run_seconds), (77, 600));
    assert_eq!((specs[1].gpu.policy, specs[1].gpu.min_vram_mib), (GpuPolicy::Prefer, Some(5)));
    let named = GpuChoice::Index { index: 1, host: Some("box".into()), on_miss: OnMiss::Refuse };
    assert_eq!(specs[1].gpu.choice, named);
    assert_eq!(specs[0].gpu.policy, GpuPolicy::None);
    for (row, spec) in rows.iter().zip(&specs) {
        assert!(!row.6 && row.7 == "operator" && row.5.starts_with("1;cpu="), "{row:?}");
        assert!((row.8 - f64::from(spec.timeouts.queue_seconds)).abs() < 1.0, "{row:?}");
    }

    let audit: Vec<(String, String, Option<String>, bool)> = sqlx::query_as(
        "select operation, actor, image, run_job_id is null from worker_audit where run_id = $1 order by run_job_id",
    )
    .bind(id)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(audit.len(), 4, "one for the run and one for each run job: {audit:?}");
    assert!(audit.iter().all(|row| row.0 == "submit" && row.1 == "key:operator"), "{audit:?}");
    assert_eq!(audit.iter().filter(|row| row.3).count(), 1);
    assert_eq!(audit.iter().filter(|row| row.2.as_deref() == Some("cyberbrain-worker:builtin")).count(), 3);
    assert_eq!(api.count("select count(*) from worker_audit").await, audit_before + 4);

    let tasks: Vec<(String, String)> =
        sqlx::query_as("select job_type, convert_from(job, 'UTF8') from apalis.jobs order by job_type desc")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let queues: Vec<&str> = tasks.iter().map(|task| task.0.as_str()).collect();
    assert_eq!(queues, ["runs", "run_jobs"]);
    assert!(tasks[0].1.contains(&format!("\"admit\":\"{id}\"")), "{}", tasks[0].1);
}

#[tokio::test]
async fn the_directive_follows_from_the_request_or_the_jobs() {
    let Some(api) = Api::start().await else { return };
    let cases = [
        (json!({ "directive": "D1" }), "Log triage", vec!["log_triage"]),
        (json!({ "directive": "GPU report", "jobs": ["gpu_report"] }), "GPU report", vec!["gpu_report"]),
        (json!({ "jobs": ["task3"] }), "Service map", vec!["service_map"]),
        (json!({ "jobs": ["task1", "task2"] }), "Custom", vec!["log_triage", "gpu_report"]),
        (json!({ "jobs": ["task1"], "custom_directive_text": "do well" }), "custom", vec!["log_triage"]),
    ];
    for (body, directive, jobs) in cases {
        let run = api.post("/api/v1/runs", Some(&body)).await.json();
        assert_eq!(run["directive"], directive, "{body}");
        let held: Vec<&str> =
            run["run_jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap()).collect();
        assert_eq!(held, jobs, "{body}");
    }
    let text = "select count(*) from runs where directive_name = 'custom' and directive_type = 'D4'
                    and directive_snapshot ->> 'text' = 'do well'";
    assert_eq!(api.count(text).await, 1);
}

#[tokio::test]
async fn a_later_edit_changes_no_run() {
    let Some(api) = Api::start().await else { return };
    api.launch(&json!({ "directive": "D1" })).await;
    api.execute(
        "update directives set superseded_at = now() where directive_type = 'D1';
         insert into directives (id, directive_type, name, version, directive_text, builtin)
             values (gen_random_uuid(), 'D1', 'Log triage', 2, 'the new text', true);
         update jobs set spec = jsonb_set(spec, '{timeouts,run_seconds}', '5') where task_key = 'log_triage'",
    )
    .await;
    let old = "select count(*) from runs r join run_jobs j on j.run_id = r.id where r.directive_version = 1
                   and r.directive_snapshot ->> 'text' <> 'the new text' and j.spec #>> '{timeouts,run_seconds}' <> '5'";
    assert_eq!(api.count(old).await, 1);
    api.launch(&json!({ "directive": "D1", "jobs": ["log_triage"] })).await;
    let new = "select count(*) from runs r join run_jobs j on j.run_id = r.id where r.directive_version = 2
                   and r.directive_snapshot ->> 'text' = 'the new text' and j.spec #>> '{timeouts,run_seconds}' = '5'";
    assert_eq!(api.count(new).await, 1);
}

#[tokio::test]
async fn what_an_image_requires_is_applied() {
    let Some(api) = Api::start().await else { return };
    api.execute("update worker_image_allowlist set requires_gpu = true, min_vram_mib = 6000").await;
    api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let asked = "select count(*) from run_jobs where spec #>> '{gpu,policy}' = 'prefer'
                     and spec #>> '{gpu,min_vram_mib}' = '6000' and shape like '%;gpu=prefer:1:6000%'";
    assert_eq!(api.count(asked).await, 1);
    let small = json!({ "run_jobs": [{ "job": "gpu_report", "gpu": { "min_vram_mib": 5000 } }] });
    let refused = api.post("/api/v1/runs", Some(&small)).await;
    assert_eq!(
        (refused.status, refused.places()),
        (422, vec!["body /run_jobs/0/gpu/min_vram_mib".to_owned()])
    );
}

#[tokio::test]
async fn ten_thousand_run_jobs_are_launched_in_seconds() {
    let Some(api) = Api::start().await else { return };
    let run_jobs: Vec<Value> = (0..10_000)
        .map(|n| json!({ "job": "log_triage", "name": format!("part {n}"), "params": { "part": n } }))
        .collect();
    let body = json!({ "run_jobs": run_jobs });
    let before = Instant::now();
    let answer = api.post("/api/v1/runs", Some(&body)).await;
    let took = before.elapsed();
    assert_eq!(answer.status, 202);
    let answered = answer.json();
    let names: Vec<&Value> =
        answered["run_jobs"].as_array().unwrap().iter().map(|job| &job["name"]).collect();
    assert_eq!((names.len(), names[0], names[9_999]), (10_000, &json!("part 0"), &json!("part 9999")));
    let [runs, run_jobs, _, tasks, _] = api.stored().await;
    assert_eq!((runs, run_jobs, tasks), (1, 10_000, 11), "one task to admit and ten to place");
    eprintln!("a launch of 10,000 run jobs, answer included, took {took:?}");
    assert!(took.as_secs() < 15, "it took {took:?}");
}

#[tokio::test]
async fn the_runs_params_reach_every_worker_under_its_own() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "params": { "window": "1h", "depth": 1 }, "run_jobs": [
        { "job": "log_triage", "params": { "depth": 9, "only": "me" } },
    ]});
    let run = api.post("/api/v1/runs", Some(&body)).await.json();
    let run_job = run["run_jobs"][0]["id"].as_str().unwrap();
    machines::run_one(&api, run_job).await;
    let detail = api.get(&format!("/api/v1/run-jobs/{run_job}")).await.json();
    let attempt = detail["attempts"][0]["id"].as_str().unwrap().parse().unwrap();
    let staged = supervision::assignments(&mut api.db.connect().await, &[attempt]).await.unwrap();
    assert_eq!(staged[0].params, json!({ "window": "1h", "depth": 9, "only": "me" }));
}
