//! Thousands of malformed requests: each is answered as a problem, none is a failure of ours, none is stored.

use axum::body::Body;
use cyberbrain_testkit::seeded_rng;
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

use crate::harness::{Api, request};

const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "log_triage",
    "gpu_report",
    "task3",
    "D1",
    "D2",
    "D9",
    "a\u{202e}b",
    "🦀",
    "'; drop table runs; --",
    "../../etc/passwd",
    "%s%n",
    "\u{feff}",
    "null",
    "true",
    "-1",
    "1e309",
    "NaN",
    "{}",
    "GPU-1",
    "none",
    "prefer",
    "require",
    "\\u0000",
    "\u{1f}",
    "é",
];

const FIELDS: &[&str] = &[
    "directive",
    "jobs",
    "run_jobs",
    "params",
    "priority",
    "tags",
    "custom_directive_text",
    "job",
    "name",
    "inputs",
    "timeout_seconds",
    "gpu",
    "policy",
    "count",
    "min_vram_mib",
    "uuid",
    "index",
    "host",
    "strict",
    "prefer_wait_seconds",
    "__proto__",
    "",
];

fn value(random: &mut StdRng, depth: u32) -> Value {
    match random.random_range(0..if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!(random.random_range(-200_i64..200)),
        4 => json!(random.random::<f64>() * 1e300),
        5 => json!(text(random)),
        6 => (0..random.random_range(0..4)).map(|_| value(random, depth - 1)).collect(),
        _ => {
            let fields = (0..random.random_range(0..5)).map(|_| {
                let field = (*FIELDS.choose(random).unwrap()).to_owned();
                (field, value(random, depth - 1))
            });
            Value::Object(fields.collect())
        }
    }
}

fn text(random: &mut StdRng) -> String {
    let text = *TEXTS.choose(random).unwrap();
    if random.random_range(0..20) == 0 { text.repeat(3_000) } else { text.to_owned() }
}

/// Something that looks like a launch, with one thing wrong that can't be right by chance.
fn body(random: &mut StdRng) -> Vec<u8> {
    let mut launch = value(random, 4);
    if let Value::Object(fields) = &mut launch {
        fields.insert("jobs".into(), json!(["log_triage", "no_such_job"]));
    }
    let mut bytes = serde_json::to_vec(&launch).unwrap();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..3) {
            0 => bytes.insert(at, random.random()),
            1 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] = random.random(),
            _ => {}
        }
    }
    bytes
}

fn escaped(random: &mut StdRng) -> String {
    let raw: Vec<u8> = match random.random_range(0..3) {
        0 => text(random).into_bytes(),
        1 => (0..random.random_range(0..40)).map(|_| random.random()).collect(),
        _ => uuid::Uuid::from_u128(random.random()).to_string().into_bytes(),
    };
    raw.iter().take(300).map(|byte| format!("%{byte:02X}")).collect()
}

fn path(random: &mut StdRng) -> String {
    let bases = [
        "/api/v1/runs",
        "/api/v1/gpus",
        "/api/v1/hosts",
        "/api/v1/directives",
        "/api/v1/jobs",
        "/api/v1/run-jobs",
        "/problems",
        "/api/docs",
        "/readyz",
        "/nowhere",
    ];
    let mut path = (*bases.choose(random).unwrap()).to_owned();
    if random.random::<bool>() {
        path.push('/');
        path.push_str(&escaped(random));
    }
    if random.random_range(0..3) == 0 {
        path.push_str(["/report", "/artifacts", "/cancel", "/"].choose(random).unwrap());
    }
    let names = [
        "status",
        "job",
        "directive",
        "tag",
        "requested_by",
        "created_after",
        "created_before",
        "limit",
        "cursor",
        "x",
    ];
    for n in 0..random.random_range(0..4) {
        path.push(if n == 0 { '?' } else { '&' });
        path.push_str(names.choose(random).unwrap());
        path.push('=');
        path.push_str(&escaped(random));
    }
    path
}

#[tokio::test]
async fn five_thousand_malformed_requests_are_no_failure_of_ours() {
    let Some(api) = Api::start().await else { return };
    let mut random = seeded_rng("five_thousand_malformed_requests_are_no_failure_of_ours");
    let before = api.stored().await;
    let mut seen = std::collections::BTreeMap::<u16, u32>::new();
    for n in 0..5_000 {
        let (method, target, content) = if n % 2 == 0 {
            ("POST", "/api/v1/runs".to_owned(), body(&mut random))
        } else {
            let methods = ["GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"];
            (*methods.choose(&mut random).unwrap(), path(&mut random), Vec::new())
        };
        let key = format!("k{n}");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let shown = String::from_utf8_lossy(&content).into_owned();
        let sent = request(method, &target, Some(&api.admin), &headers, Body::from(content));
        let answer = api.send(sent).await;
        assert!(answer.status < 500, "{method} {target} {shown}: {}", answer.text());
        if answer.status >= 400 {
            answer.problem();
        }
        if method == "POST" {
            assert!(answer.status >= 400, "{method} {target} {shown}: {}", answer.text());
        }
        *seen.entry(answer.status).or_default() += 1;
    }
    eprintln!("answers by status: {seen:?}");
    for status in [200, 400, 404, 405, 422] {
        assert!(seen.contains_key(&status), "no {status} among {seen:?}: is the noise of one kind only?");
    }
    assert_eq!(api.stored().await, before);
}
