//! Texts of clients: the longest is stored, and one character more is refused with its place. The database has its own bounds
//! (`common/tests/integration/data/columns.rs`); no client gets to see them as a failure of ours.

use axum::body::Body;
use serde_json::{Value, json};

use crate::{
    harness::{Api, request},
    machines,
};

const HOST: &str = "/api/v1/hosts/01930000-0000-7000-8000-000000000001";

/// Whether the longest text can be accepted by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Longest {
    Stored,
    /// It would have to name something that there is.
    Unknown,
}

struct Text {
    path: &'static str,
    body: fn(String) -> Value,
    at: &'static str,
    /// Characters.
    most: usize,
    of: char,
    longest: Longest,
}

const fn text(path: &'static str, body: fn(String) -> Value, at: &'static str, most: usize) -> Text {
    Text { path, body, at, most, of: '😀', longest: Longest::Stored }
}

const fn word(path: &'static str, body: fn(String) -> Value, at: &'static str, most: usize) -> Text {
    Text { of: 'x', ..text(path, body, at, most) }
}

const fn naming(path: &'static str, body: fn(String) -> Value, at: &'static str, most: usize) -> Text {
    Text { longest: Longest::Unknown, ..word(path, body, at, most) }
}

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const RUNS: &str = "/api/v1/runs";
const DIRECTIVES: &str = "/api/v1/directives";
const JOBS: &str = "/api/v1/jobs";
const IMAGES: &str = "/api/v1/allowlist/images";
const CONTAINERS: &str = "/api/v1/allowlist/containers";

fn run_job(field: &str, value: Value) -> Value {
    let mut job = json!({ "job": "log_triage" });
    job[field] = value;
    json!({ "run_jobs": [job] })
}

fn job(name: &str, field: &str, value: Value) -> Value {
    let mut job = json!({ "job": name, "name": "n", "spec": { "image": "cyberbrain-worker:builtin" } });
    match field.strip_prefix("spec.") {
        Some(field) => job["spec"][field] = value,
        None => job[field] = value,
    }
    job
}

fn container(id: &str, field: &str, value: Value) -> Value {
    let mut container = json!({ "container_id": id });
    container[field] = value;
    container
}

const TEXTS: &[Text] = &[
    text(
        RUNS,
        |t| json!({ "jobs": ["log_triage"], "custom_directive_text": t }),
        "/custom_directive_text",
        65_536,
    ),
    text(RUNS, |t| json!({ "jobs": ["log_triage"], "tags": vec![t; 32] }), "/tags/31", 64),
    text(RUNS, |t| run_job("name", json!(t)), "/run_jobs/0/name", 200),
    text(RUNS, |t| run_job("gpu", json!({ "index": 0, "host": t })), "/run_jobs/0/gpu/host", 255),
    text(RUNS, |t| run_job("gpu", json!({ "uuid": t })), "/run_jobs/0/gpu/uuid", 255),
    naming(RUNS, |t| run_job("job", json!(t)), "/run_jobs/0/job", 50),
    naming(RUNS, |t| json!({ "directive": t, "jobs": ["log_triage"] }), "/directive", 255),
    text(DIRECTIVES, |t| json!({ "name": t }), "/name", 255),
    text(DIRECTIVES, |t| json!({ "name": "a", "description": t }), "/description", 1_000),
    text(DIRECTIVES, |t| json!({ "name": "b", "text": t }), "/text", 65_536),
    naming(DIRECTIVES, |t| json!({ "name": "c", "jobs": [t] }), "/jobs/0", 50),
    // Two bytes of each are the braces, five the key.
    word(DIRECTIVES, |t| json!({ "name": "d", "config": { "k": t } }), "/config", 65_536 - 8),
    word(RUNS, |t| json!({ "jobs": ["log_triage"], "params": { "k": t } }), "/params", 262_144 - 8),
    word(RUNS, |t| run_job("params", json!({ "k": t })), "/run_jobs/0/params", 262_144 - 8),
    word(
        JOBS,
        |t| json!({ "job": t, "name": "n", "spec": { "image": "cyberbrain-worker:builtin" } }),
        "/job",
        50,
    ),
    word(JOBS, |t| job("a", "aliases", json!([t.replace('x', "y")])), "/aliases/0", 50),
    text(JOBS, |t| job("b", "name", json!(t)), "/name", 200),
    text(JOBS, |t| job("c", "description", json!(t)), "/description", 1_000),
    text(JOBS, |t| job("d", "spec.command", json!(vec![t; 64])), "/spec/command/63", 4_096),
    text(JOBS, |t| job("e", "spec.env", json!({ "NAME": t })), "/spec/env/NAME", 4_096),
    text(JOBS, |t| job("f", "spec.host", json!(t)), "/spec/host", 63),
    text(IMAGES, |t| json!({ "image": "a:1", "pin": PIN, "description": t }), "/description", 1_000),
    word(IMAGES, |t| json!({ "image": "b:1", "pin": format!("{t}@{PIN}") }), "/pin", 255),
    word(IMAGES, |t| json!({ "image": format!("{t}:1"), "pin": PIN }), "/image", 255),
    word(IMAGES, |t| json!({ "image": format!("c:{t}"), "pin": PIN }), "/image", 100),
    word(CONTAINERS, |t| container(&t, "tags", json!([])), "/container_id", 255),
    text(CONTAINERS, |t| container("a", "container_name", json!(t)), "/container_name", 255),
    word(CONTAINERS, |t| container("b", "host", json!(t)), "/host", 63),
    text(CONTAINERS, |t| container("c", "description", json!(t)), "/description", 1_000),
    text(CONTAINERS, |t| container("d", "tags", json!(vec![t; 32])), "/tags/31", 64),
    word("/api/v1/keys", |t| json!({ "name": t, "scope": "viewer" }), "/name", 64),
    text(
        "/api/v1/hosts/01930000-0000-7000-8000-000000000001/cordon",
        |t| json!({ "reason": t }),
        "/reason",
        500,
    ),
    text("/api/v1/gpus/GPU-a/cordon", |t| json!({ "reason": t }), "/reason", 500),
    text("/api/v1/queue/pause", |t| json!({ "queue": "runs", "reason": t }), "/reason", 500),
];

#[tokio::test]
async fn the_longest_text_is_stored_and_one_character_more_is_refused_with_its_place() {
    let Some(api) = Api::start().await else { return };
    machines::host(&api).await;
    let mut wrong = Vec::new();
    for case in TEXTS {
        let Text { path, body, at, most, of, longest } = case;
        for (length, fits) in [(most + 1, None), (*most, Some(*longest))] {
            let body = body(of.to_string().repeat(length));
            let answer = api.change("POST", path, &api.admin, None, Some(&body)).await;
            let told = || format!("{path} {at} with {length}: {} {:.300}", answer.status, answer.text());
            match fits {
                None if answer.status == 422 && answer.places().contains(&format!("body {at}")) => {}
                Some(Longest::Stored) if (200..300).contains(&answer.status) => {}
                Some(Longest::Unknown) if answer.status == 422 => {}
                None | Some(Longest::Stored | Longest::Unknown) => wrong.push(told()),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.get(HOST).await.json()["cordon_reason"], "😀".repeat(500));
}

#[tokio::test]
async fn so_are_names_in_queries_and_headers() {
    let Some(api) = Api::start().await else { return };
    let upload = async |name: &str| {
        let path = format!("/api/v1/uploads?name={name}");
        api.send(request("POST", &path, Some(&api.operator), &[], Body::from("x"))).await
    };
    assert_eq!(upload(&"x".repeat(255)).await.status, 201);
    let answer = upload(&"x".repeat(256)).await;
    assert_eq!((answer.status, answer.places()), (400, vec!["query /name".to_owned()]));

    let body = json!({ "jobs": ["log_triage"] });
    let launch = async |key: &str| api.post_with(RUNS, Some(&body), &[("idempotency-key", key)]).await;
    assert_eq!(launch(&"x".repeat(255)).await.status, 202);
    let answer = launch(&"x".repeat(256)).await;
    assert_eq!((answer.status, answer.places()), (400, vec!["header /Idempotency-Key".to_owned()]));
}
