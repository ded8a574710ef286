//! Wrong requests: told where and why, and nothing is stored.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Api, request};

/// One wrong launch: what is sent, the status, the problem, and where.
struct Case {
    name: &'static str,
    body: Value,
    status: u16,
    problem: &'static str,
    places: &'static [&'static str],
}

fn invalid(name: &'static str, body: Value, places: &'static [&'static str]) -> Case {
    Case { name, body, status: 422, problem: "invalid-request", places }
}

fn cases() -> Vec<Case> {
    let big = "x".repeat(256 * 1024);
    vec![
        invalid("unknown job", json!({ "jobs": ["log_triage", "make_coffee"] }), &["body /jobs/1"]),
        invalid(
            "unknown job, long form",
            json!({ "run_jobs": [{ "job": "make_coffee" }] }),
            &["body /run_jobs/0/job"],
        ),
        invalid(
            "unknown directive",
            json!({ "directive": "D9", "jobs": ["log_triage"] }),
            &["body /directive"],
        ),
        invalid("unknown field", json!({ "jobs": ["log_triage"], "jbos": 1 }), &["body /jbos"]),
        invalid(
            "unknown field inside",
            json!({ "run_jobs": [{ "job": "log_triage", "gpu": { "vram": 1 } }] }),
            &["body /run_jobs/0/gpu/vram"],
        ),
        invalid("a list in place of the object", json!(["D1"]), &["body "]),
        invalid(
            "a list in place of a run job",
            json!({ "run_jobs": [["log_triage"]] }),
            &["body /run_jobs/0"],
        ),
        invalid("wrong type", json!({ "jobs": "log_triage" }), &["body /jobs"]),
        invalid("wrong type inside", json!({ "run_jobs": [{ "job": 1 }] }), &["body /run_jobs/0/job"]),
        invalid(
            "unknown policy",
            json!({ "run_jobs": [{ "job": "log_triage", "gpu": { "policy": "x" } }] }),
            &["body /run_jobs/0/gpu/policy"],
        ),
        invalid(
            "bad UUID",
            json!({ "run_jobs": [{ "job": "log_triage", "inputs": ["7"] }] }),
            &["body /run_jobs/0/inputs/0"],
        ),
        invalid(
            "unknown upload",
            json!({ "run_jobs": [{ "job": "log_triage", "inputs": [uuid::Uuid::nil()] }] }),
            &["body /run_jobs/0/inputs/0"],
        ),
        invalid(
            "params over 256 KiB",
            json!({ "jobs": ["log_triage"], "params": { "x": big } }),
            &["body /params"],
        ),
        invalid(
            "params over 256 KiB inside",
            json!({ "run_jobs": [{ "job": "log_triage", "params": { "x": big } }] }),
            &["body /run_jobs/0/params"],
        ),
        invalid("params no object", json!({ "jobs": ["log_triage"], "params": [1] }), &["body /params"]),
        invalid("10,001 run jobs", json!({ "jobs": vec!["log_triage"; 10_001] }), &["body /jobs"]),
        invalid(
            "10,001 run jobs, long form",
            json!({ "run_jobs": vec![json!({ "job": "log_triage" }); 10_001] }),
            &["body /run_jobs"],
        ),
        invalid("NUL in a tag", json!({ "jobs": ["log_triage"], "tags": ["a\0"] }), &["body /tags/0"]),
        invalid(
            "NUL in params",
            json!({ "jobs": ["log_triage"], "params": { "a": ["\0"] } }),
            &["body /params/a/0"],
        ),
        invalid("NUL in a key", json!({ "jobs": ["log_triage"], "params": { "a\0": 1 } }), &["body /params"]),
        invalid(
            "NUL in a name",
            json!({ "run_jobs": [{ "job": "log_triage", "name": "\0" }] }),
            &["body /run_jobs/0/name"],
        ),
        invalid("NUL in a job", json!({ "jobs": ["log_triage\0"] }), &["body /jobs/0"]),
        invalid("NUL in a directive", json!({ "directive": "\0" }), &["body /directive"]),
        invalid(
            "NUL in a text",
            json!({ "jobs": ["log_triage"], "custom_directive_text": "\0" }),
            &["body /custom_directive_text"],
        ),
        invalid(
            "job outside the directive",
            json!({ "directive": "D2", "jobs": ["log_triage"] }),
            &["body /jobs/0"],
        ),
        invalid("no job", json!({}), &["body /jobs"]),
        invalid(
            "both forms",
            json!({ "jobs": ["log_triage"], "run_jobs": [{ "job": "log_triage" }] }),
            &["body /run_jobs"],
        ),
        invalid(
            "several at once",
            json!({ "jobs": ["nope", "log_triage"], "directive": "D2" }),
            &["body /jobs/0", "body /jobs/1"],
        ),
        invalid(
            "several limits at once",
            json!({ "jobs": [""], "priority": 1000, "tags": [""] }),
            &["body /priority", "body /tags/0", "body /jobs/0"],
        ),
        invalid(
            "a number too large",
            json!({ "jobs": ["log_triage"], "priority": 5_000_000_000_u64 }),
            &["body /priority"],
        ),
    ]
}

#[tokio::test]
async fn a_wrong_launch_says_where_and_stores_nothing() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    for case in cases() {
        let answer = api.post_with("/api/v1/runs", Some(&case.body), &[("idempotency-key", "k")]).await;
        assert_eq!(answer.status, case.status, "{}: {}", case.name, answer.text());
        assert_eq!(answer.problem(), case.problem, "{}", case.name);
        assert_eq!(answer.places(), case.places, "{}: {}", case.name, answer.text());
        assert_eq!(api.stored().await, before, "{} stored something", case.name);
    }
}

#[tokio::test]
async fn images_and_library_entries_that_are_switched_off_are_refused() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let body = json!({ "jobs": ["gpu_report"], "directive": "D2" });
    let steps = [
        ("update worker_image_allowlist set active = false", "body /jobs/0", "allowlist"),
        ("delete from worker_image_allowlist", "body /jobs/0", "allowlist"),
        (
            "insert into worker_image_allowlist (id, name, tag, builtin)
                 values (gen_random_uuid(), 'cyberbrain-worker', 'builtin', true);
             update jobs set active = false where task_key = 'gpu_report'",
            "body /jobs/0",
            "switched off",
        ),
        (
            "update jobs set active = true; update directives set active = false where directive_type = 'D2'",
            "body /directive",
            "switched off",
        ),
    ];
    for (change, place, told) in steps {
        api.execute(change).await;
        let answer = api.post("/api/v1/runs", Some(&body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"), "{change}");
        assert_eq!(answer.places(), [place], "{change}");
        assert!(answer.text().contains(told), "{change}: {}", answer.text());
        assert_eq!(api.stored().await, before, "{change}");
    }
    api.execute("update directives set active = true").await;
    api.launch(&body).await;
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let json_type: &'static [(&'static str, &'static str)] = &[("content-type", "application/json")];
    let deep = format!("{{\"params\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    let deep_list = format!("{{\"params\":{{\"a\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    type Sent =
        (&'static str, &'static [(&'static str, &'static str)], Vec<u8>, u16, &'static str, &'static str);
    let cases: Vec<Sent> = vec![
        ("nothing", json_type, b"".to_vec(), 400, "malformed-json", "body "),
        ("half", json_type, b"{\"jobs\": [".to_vec(), 400, "malformed-json", "body /jobs"),
        ("two", json_type, b"{} {}".to_vec(), 400, "malformed-json", "body "),
        ("a list", json_type, b"[1]".to_vec(), 422, "invalid-request", "body "),
        ("null", json_type, b"null".to_vec(), 422, "invalid-request", "body "),
        (
            "no UTF-8",
            json_type,
            b"{\"directive\": \"\xff\"}".to_vec(),
            400,
            "malformed-json",
            "body /directive",
        ),
        (
            "lone surrogate",
            json_type,
            br#"{"tags":["\ud800"]}"#.to_vec(),
            400,
            "malformed-json",
            "body /tags/0",
        ),
        (
            "raw NUL",
            json_type,
            b"{\"directive\": \"a\0b\"}".to_vec(),
            400,
            "malformed-json",
            "body /directive",
        ),
        ("a key twice", json_type, br#"{"jobs":[],"jobs":[]}"#.to_vec(), 422, "invalid-request", "body "),
        (
            "a key twice in params",
            json_type,
            br#"{"jobs":["log_triage"],"params":{"a":{"b":1,"b":2}}}"#.to_vec(),
            422,
            "invalid-request",
            "body /params/a",
        ),
        ("too deep", json_type, deep.into_bytes(), 400, "malformed-json", "body /params"),
        ("far too deep", json_type, deep_list.into_bytes(), 400, "malformed-json", "body /params/a"),
        ("no type", &[], b"{}".to_vec(), 415, "unsupported-media-type", "header /Content-Type"),
        (
            "another type",
            &[("content-type", "text/plain")],
            b"{}".to_vec(),
            415,
            "unsupported-media-type",
            "header /Content-Type",
        ),
        (
            "a form",
            &[("content-type", "application/x-www-form-urlencoded")],
            b"jobs=log_triage".to_vec(),
            415,
            "unsupported-media-type",
            "header /Content-Type",
        ),
        ("9 MiB", json_type, vec![b' '; 9 * 1024 * 1024], 413, "payload-too-large", "body "),
        (
            "9 MiB announced",
            &[("content-type", "application/json"), ("content-length", "9437184")],
            b"{}".to_vec(),
            413,
            "payload-too-large",
            "body ",
        ),
        (
            "key with a space only",
            &[("content-type", "application/json"), ("idempotency-key", "")],
            b"{}".to_vec(),
            400,
            "invalid-header",
            "header /Idempotency-Key",
        ),
        (
            "two keys",
            &[("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")],
            b"{}".to_vec(),
            400,
            "invalid-header",
            "header /Idempotency-Key",
        ),
    ];
    for (name, headers, body, status, problem, place) in cases {
        let answer =
            api.send(request("POST", "/api/v1/runs", Some(&api.operator), headers, Body::from(body))).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, problem),
            "{name}: {}",
            answer.text()
        );
        let places = answer.places();
        assert_eq!(places.len(), 1, "{name}: {places:?}");
        assert!(places[0].starts_with(place), "{name}: {places:?}");
        assert!(answer.body.len() < 4_096, "{name}: the answer has {} bytes", answer.body.len());
    }
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn wrong_paths_and_queries_are_refused_with_their_place() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let nobody = uuid::Uuid::now_v7();
    let cases: Vec<(&str, String, u16, &str, Vec<&str>)> = vec![
        ("GET", "/api/v1/runs/7".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", "/api/v1/runs/%00".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", "/api/v1/runs/%ff".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", "/api/v1/runs/x/report".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", "/api/v1/runs/x/artifacts".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", "/api/v1/run-jobs/x".into(), 400, "invalid-path", vec!["path /id"]),
        ("POST", "/api/v1/runs/x/cancel".into(), 400, "invalid-path", vec!["path /id"]),
        ("POST", "/api/v1/run-jobs/x/cancel".into(), 400, "invalid-path", vec!["path /id"]),
        ("GET", format!("/api/v1/runs/{nobody}"), 404, "not-found", vec![]),
        ("GET", format!("/api/v1/runs/{nobody}/report"), 404, "not-found", vec![]),
        ("GET", format!("/api/v1/runs/{nobody}/artifacts"), 404, "not-found", vec![]),
        ("GET", format!("/api/v1/run-jobs/{nobody}"), 404, "not-found", vec![]),
        ("POST", format!("/api/v1/runs/{nobody}/cancel"), 404, "not-found", vec![]),
        ("POST", format!("/api/v1/run-jobs/{nobody}/cancel"), 404, "not-found", vec![]),
        ("GET", "/api/v1/nothing".into(), 404, "not-found", vec![]),
        ("GET", "/api/v1/runs/".into(), 404, "not-found", vec![]),
        ("DELETE", "/api/v1/runs".into(), 405, "method-not-allowed", vec![]),
        ("PUT", format!("/api/v1/runs/{nobody}"), 405, "method-not-allowed", vec![]),
        ("GET", "/api/v1/runs?colour=red".into(), 400, "invalid-query", vec!["query /colour"]),
        ("POST", "/api/v1/runs?dry_run=1".into(), 400, "invalid-query", vec!["query /dry_run"]),
        ("GET", "/api/v1/gpus?limit=1".into(), 400, "invalid-query", vec!["query /limit"]),
        (
            "GET",
            "/api/v1/runs?a=1&b=2&status=running&status=failed".into(),
            400,
            "invalid-query",
            vec!["query /a", "query /b", "query /status"],
        ),
        (
            "GET",
            "/api/v1/runs?status=done&limit=0&cursor=x&created_after=yesterday".into(),
            400,
            "invalid-query",
            vec!["query /status", "query /created_after", "query /limit", "query /cursor"],
        ),
        ("GET", "/api/v1/runs?limit=501".into(), 400, "invalid-query", vec!["query /limit"]),
        ("GET", "/api/v1/runs?limit=99999999999999999999".into(), 400, "invalid-query", vec!["query /limit"]),
        ("GET", "/api/v1/runs?tag=a%00b".into(), 400, "invalid-query", vec!["query /tag"]),
        (
            "GET",
            "/api/v1/runs?created_after=%2B262142-01-01T00:00:00Z".into(),
            400,
            "invalid-query",
            vec!["query /created_after"],
        ),
    ];
    for (method, path, status, problem, places) in cases {
        let answer = api.send(request(method, &path, Some(&api.operator), &[], Body::empty())).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{method} {path}");
        assert_eq!(answer.places(), places, "{method} {path}");
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{method} {path}: {:?}", answer.headers);
        }
    }
    assert_eq!(api.stored().await, before);
}
