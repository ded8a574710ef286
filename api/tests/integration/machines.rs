//! Hosts and GPUs, and attempts on them made through the lifecycle.

use cyberbrain_common::{
    db::transition::{Facts, Place, PlaceKind, Step, transition},
    ids::fresh,
};
use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, Fence, HostId, LauncherId, RunJobId},
    lifecycle::Event,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::Api;

const ACTOR: Actor = Actor::System("test");
const HOST: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);
const LAUNCHER: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0002);

/// One host with a launcher and two simulated cards, of which one has been seen.
pub async fn host(api: &Api) {
    let mut connection = api.db.connect().await;
    sqlx::query(
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, reconciled_at)
         values ($1, 'engine', 'machine', 'box', 'boot', 'simulated', 8000, 16000, now()) on conflict do nothing",
    )
    .bind(HOST)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into launchers (id, host_id, pid, version) values ($1, $2, 1, 'test') on conflict do nothing",
    )
    .bind(LAUNCHER)
    .bind(HOST)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
         values ('GPU-a', $1, 0, 'Simulated', true, 24576, 24576), ('GPU-b', $1, 1, 'Simulated', true, 24576, 24576)
         on conflict do nothing",
    )
    .bind(HOST)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into gpu_observed (gpu_uuid, sample_seq, used_mib, foreign_mib, utilization_percent)
         values ('GPU-a', 1, 6000, 500, 25) on conflict do nothing",
    )
    .execute(&mut connection)
    .await
    .unwrap();
}

/// Offers the RunJob to the host, with 6,000 MiB of its first card.
pub async fn offer(api: &Api, run_job: &str) -> Fence {
    host(api).await;
    let place = Place {
        attempt: fresh::<AttemptId>(),
        host: HostId::from(HOST),
        kind: PlaceKind::Gpu,
        gpus: vec![("GPU-a".to_owned().into(), 6_000)],
        reason: "score 0.15, the lowest of 2".into(),
    };
    step(api, run_job, Event::Offer, Facts { place: Some(place), ..Facts::default() }).await
}

/// Brings the RunJob to a running container.
pub async fn run_one(api: &Api, run_job: &str) {
    let fence = offer(api, run_job).await;
    let launcher = Some(LauncherId::from(LAUNCHER));
    step(api, run_job, Event::Accept { fence }, Facts { launcher, ..Facts::default() }).await;
    step(api, run_job, Event::Begin { fence }, Facts { boot_id: Some("boot".into()), ..Facts::default() })
        .await;
    let facts =
        Facts { container_id: Some("c0ffee".into()), image_id: Some("sha256:1".into()), ..Facts::default() };
    step(api, run_job, Event::Started { fence }, facts).await;
}

async fn step(api: &Api, run_job: &str, event: Event, facts: Facts) -> Fence {
    let run_job: RunJobId = run_job.parse().unwrap();
    let step = Step { run_job, event, facts };
    let applied = transition(&mut api.db.connect().await, step, &ACTOR).await.unwrap();
    applied.attempt.unwrap().2
}

#[tokio::test]
async fn gpus_show_ledger_observation_and_score() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    run_one(&api, run["run_jobs"][0]["id"].as_str().unwrap()).await;
    let gpus = api.get("/api/v1/gpus").await.json();
    let (a, b) = (&gpus["gpus"][0], &gpus["gpus"][1]);
    assert_eq!((&a["uuid"], &a["host"], &a["index"]), (&json!("GPU-a"), &json!("box"), &json!(0)));
    assert_eq!((&a["reserved_mib"], &a["leases"], &a["simulated"]), (&json!(6000), &json!(1), &json!(true)));
    assert_eq!(
        (&a["observed"]["used_mib"], &a["observed"]["foreign_mib"], &a["observed"]["utilization_percent"]),
        (&json!(6000), &json!(500), &json!(25))
    );
    // 24576 − 6000 reserved − 500 foreign − 491 safety (2 %).
    assert_eq!(a["effective_free_mib"], 17_585);
    let expected = 0.6 * (1.0 - 17_585.0 / 24_576.0) + 0.4 * 0.25;
    assert!((a["score"].as_f64().unwrap() - expected).abs() < 1e-9, "{a}");
    assert_eq!((&b["observed"], &b["score"]), (&json!(null), &json!(null)), "never seen is not idle");
}

#[tokio::test]
async fn hosts_show_their_ledger() {
    let Some(api) = Api::start().await else { return };
    assert_eq!(api.get("/api/v1/hosts").await.json(), json!({ "hosts": [] }));
    let id = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    run_one(&api, run["run_jobs"][0]["id"].as_str().unwrap()).await;
    let hosts = api.get("/api/v1/hosts").await.json();
    let host = &hosts["hosts"][0];
    assert_eq!(
        (&host["name"], &host["presence"], &host["gpus"], &host["launchers"], &host["open_attempts"]),
        (&json!("box"), &json!("live"), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&host["cpu_millis"], &host["reserved_cpu_millis"]), (&json!(8000), &json!(500)));
    assert_eq!((&host["memory_mib"], &host["reserved_memory_mib"]), (&json!(16000), &json!(512)));
}

#[tokio::test]
async fn the_library_is_listed() {
    let Some(api) = Api::start().await else { return };
    api.execute("update jobs set spec = jsonb_set(spec, '{env}', '{\"TOKEN\": \"hush\"}') where task_key = 'gpu_report'")
        .await;
    let jobs = api.get("/api/v1/jobs").await;
    let listed = jobs.json();
    let keys: Vec<&str> =
        listed["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap()).collect();
    assert_eq!(keys, ["log_triage", "gpu_report", "service_map"]);
    assert_eq!(listed["jobs"][0]["aliases"], json!(["task1"]));
    assert_eq!(listed["jobs"][1]["spec"]["env"], json!(["TOKEN"]));
    assert!(!jobs.text().contains("hush"), "values of environment variables stay inside");
    let directives = api.get("/api/v1/directives").await.json();
    let types: Vec<&str> = directives["directives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["D1", "D2", "D3", "D4"]);
    assert_eq!(directives["directives"][0]["jobs"], json!(["log_triage"]));
}
