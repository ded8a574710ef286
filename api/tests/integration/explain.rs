//! Why a run job waits, worked out by the code that places.

use serde_json::{Value, json};

use crate::{harness::Api, machines};

async fn why(api: &Api, run_job: &str) -> Value {
    let answer = api.get(&format!("/api/v1/run-jobs/{run_job}/explain")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Launches and gives the ids of the RunJobs, all of them admitted.
async fn waiting(api: &Api, body: &Value) -> Vec<String> {
    let run = api.launch(body).await;
    api.execute("update run_jobs set admitted = true; update runs set admitted_at = now(), hold = null")
        .await;
    let run = api.get(&format!("/api/v1/runs/{run}")).await.json();
    run["run_jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn wants(mib: u32) -> Value {
    json!({"run_jobs": [{"job": "gpu_report", "gpu": {"policy": "require", "count": 1, "min_vram_mib": mib}}]})
}

#[tokio::test]
async fn each_card_is_named_with_what_it_is_short_of() {
    let Some(api) = Api::start().await else { return };
    let first = waiting(&api, &wants(6_000)).await.remove(0);
    machines::run_one(&api, &first).await;
    let second = waiting(&api, &wants(20_000)).await.remove(0);
    let told = why(&api, &second).await;
    assert_eq!((&told["standing"], &told["ahead"]), (&json!("in_line"), &json!(0)), "{told}");
    let candidates = told["candidates"].as_array().unwrap();
    let of = |place: &str| candidates.iter().find(|candidate| candidate["place"] == place).unwrap().clone();
    // 24576 − 6000 leased − 500 foreign − 491 safety = 17585.
    assert_eq!(
        of("GPU-a")["obstacle"],
        json!({ "code": "vram_short", "detail": "short 2415 MiB" }),
        "{told}"
    );
    assert_eq!(of("GPU-b")["obstacle"]["code"], "telemetry_missing", "never seen is not idle");
    assert!(told["said"].as_str().unwrap().contains("GPU-a: short 2415 MiB"), "{told}");

    let reason = json!({ "reason": "new fan" });
    api.post("/api/v1/gpus/GPU-a/cordon", Some(&reason)).await;
    let told = why(&api, &second).await;
    let card = told["candidates"].as_array().unwrap().iter().find(|card| card["place"] == "GPU-a").unwrap();
    assert_eq!(card["obstacle"]["code"], "gpu_cordoned");

    // The first one is where it is, with the reason of its choice.
    let told = why(&api, &first).await;
    assert_eq!(
        (&told["standing"], &told["ahead"], &told["candidates"]),
        (&json!("placed"), &Value::Null, &json!([]))
    );
    assert!(told["said"].as_str().unwrap().contains("score 0.15, the lowest of 2"), "{told}");
    assert_eq!(told["run_job"]["id"], json!(first));
}

#[tokio::test]
async fn the_place_in_line_is_that_of_the_scheduler() {
    let Some(api) = Api::start().await else { return };
    machines::host(&api).await;
    let low = waiting(&api, &json!({ "priority": -1, "jobs": ["gpu_report"] })).await.remove(0);
    let mut middle = waiting(&api, &json!({ "jobs": ["gpu_report", "gpu_report"] })).await;
    let high = waiting(&api, &json!({ "priority": 5, "jobs": ["gpu_report", "service_map"] })).await;
    // Somebody else, later, with nothing held: fair share puts them before the second of the first one.
    let other = waiting(&api, &json!({ "jobs": ["gpu_report"] })).await.remove(0);
    sqlx::query("update run_jobs set submitter = 'other' where id = $1::uuid")
        .bind(&other)
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    let ahead = async |id: &str| why(&api, id).await["ahead"].as_u64().unwrap();
    let mut of_high = [ahead(&high[0]).await, ahead(&high[1]).await];
    of_high.sort_unstable();
    assert_eq!(of_high, [0, 1]);
    middle.push(other);
    let mut of_middle = Vec::new();
    for id in &middle {
        of_middle.push(ahead(id).await);
    }
    // "operator" holds two turns by then, "other" none: it is first of its level.
    assert_eq!(of_middle, [3, 4, 2]);
    assert_eq!(ahead(&low).await, 5);
}

#[tokio::test]
async fn what_is_not_in_line_says_why() {
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let id = api.get(&format!("/api/v1/runs/{run}")).await.json()["run_jobs"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(why(&api, &id).await["standing"], "not_admitted");
    api.execute("update runs set hold = 'awaiting_approval'").await;
    let told = why(&api, &id).await;
    assert_eq!(
        (&told["hold"], &told["said"]),
        (&json!("awaiting_approval"), &json!("Its run is held: awaiting_approval."))
    );
    api.execute("update run_jobs set admitted = true, not_before = now() + interval '1 hour'").await;
    let told = why(&api, &id).await;
    assert!(told["standing"] == "not_due" && told["due_at"].is_string(), "{told}");
    api.execute(
        "update run_jobs set not_before = now();
         insert into queue_pauses (queue, paused_by, reason) values ('run_jobs', 'key:boss', 'moving')",
    )
    .await;
    let told = why(&api, &id).await;
    assert_eq!((&told["standing"], &told["pauses"][0]["reason"]), (&json!("in_line"), &json!("moving")));
    assert!(told["said"].as_str().unwrap().contains("is paused by key:boss: moving"), "{told}");
    assert_eq!(told["typical_run_seconds"], Value::Null, "none has succeeded");
    api.execute(
        "update run_jobs set status = 'success', started_at = now() - interval '90 seconds', finished_at = now()",
    )
    .await;
    assert_eq!(why(&api, &id).await["typical_run_seconds"], 90.0);
    let nobody = "/api/v1/run-jobs/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00/explain";
    assert_eq!(api.get(nobody).await.status, 404);
}

#[tokio::test]
async fn about_when_a_place_is_free_and_whose_turn_it_is() {
    let Some(api) = Api::start().await else { return };
    // What ten minutes of work usually take, and how far this one is.
    let done = waiting(&api, &json!({ "jobs": ["gpu_report"] })).await.remove(0);
    sqlx::query(
        "update run_jobs set status = 'success', started_at = now() - interval '600 seconds', finished_at = now()
         where id = $1::uuid",
    )
    .bind(&done)
    .execute(&mut api.db.connect().await)
    .await
    .unwrap();
    let running = waiting(&api, &wants(6_000)).await.remove(0);
    machines::run_one(&api, &running).await;
    api.execute("update attempts set running_at = now() - interval '240 seconds'").await;

    let next = waiting(&api, &wants(20_000)).await.remove(0);
    let told = why(&api, &next).await;
    let free = |told: &Value, place: &str| {
        let all = told["candidates"].as_array().unwrap();
        all.iter().find(|candidate| candidate["place"] == place).unwrap()["free_in_seconds"].clone()
    };
    let near = |value: &Value, seconds: u64| {
        let value = value.as_u64().unwrap_or_else(|| panic!("{told}"));
        assert!((seconds - 60..=seconds).contains(&value), "{value} instead of {seconds}: {told}");
    };
    near(&free(&told, "GPU-a"), 360);
    assert_eq!(free(&told, "GPU-b"), Value::Null, "nobody knows when telemetry comes");
    near(&told["turn_in_seconds"], 360);
    assert!(told["said"].as_str().unwrap().contains("GPU-a: short 2415 MiB, free in about "), "{told}");
    assert!(told["said"].as_str().unwrap().contains("Its turn comes in about "), "{told}");

    let last = waiting(&api, &wants(20_000)).await.remove(0);
    let told = why(&api, &last).await;
    assert_eq!(told["ahead"], 1);
    near(&told["turn_in_seconds"], 960);

    // A job that has never succeeded tells nothing of its end.
    api.execute("update run_jobs set task_key = 'unheard_of' where status = 'running'").await;
    let told = why(&api, &next).await;
    assert_eq!((free(&told, "GPU-a"), &told["turn_in_seconds"]), (Value::Null, &Value::Null), "{told}");
}
