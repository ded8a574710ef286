//! Thousands of malformed requests: each is answered as a problem, none is a failure of ours, none is stored.

use axum::body::Body;
use cyberbrain_api::{Content, Route, Takes, routes};
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

/// The route's own example with one thing wrong that can't be right by chance, and more that may be.
fn body(random: &mut StdRng, example: &str) -> Vec<u8> {
    let mut content: Value = serde_json::from_str(example).unwrap();
    if random.random_range(0..8) == 0 {
        content = value(random, 4);
    }
    if let Value::Object(fields) = &mut content {
        let own: Vec<String> = fields.keys().cloned().collect();
        for _ in 0..random.random_range(0..3) {
            let known = own.choose(random).map_or("", String::as_str);
            let field = if random.random() { known } else { FIELDS.choose(random).unwrap() };
            fields.insert(field.to_owned(), value(random, 3));
        }
        fields.insert("no_such_field".into(), value(random, 1));
    }
    let mut bytes = serde_json::to_vec(&content).unwrap();
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

/// The route's path with noise in the place of its parameters, and sometimes elsewhere.
fn path(random: &mut StdRng, route: &Route) -> String {
    let parts = route.path.split('/').map(|part| {
        if part.starts_with('{') || random.random_range(0..40) == 0 {
            escaped(random)
        } else {
            part.to_owned()
        }
    });
    let mut path = parts.collect::<Vec<_>>().join("/");
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    for n in 0..random.random_range(0..4) {
        let known = route.query.choose(random).map_or("x", |parameter| parameter.name);
        let name = if random.random_range(0..5) == 0 { "x" } else { known };
        path.push(if n == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        path.push_str(&escaped(random));
    }
    path
}

/// Routes that can be fed at random: they answer at once, and nothing that is sent is right by chance.
fn targets() -> Vec<&'static Route> {
    let ends = |route: &&Route| {
        route.answers.iter().all(|answer| match answer.content {
            Content::Nothing
            | Content::Json(_)
            | Content::Versioned(_)
            | Content::Text(_)
            | Content::JsonOrText(..) => true,
            Content::Bytes | Content::Stream(_) | Content::EventStream(_) => false,
        })
    };
    // Any bytes are a file.
    routes().filter(ends).filter(|route| !matches!(route.takes, Takes::Bytes)).collect()
}

/// Resident memory of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// `CYBERBRAIN_NOISE_REQUESTS` asks for more.
#[tokio::test]
async fn thousands_of_malformed_requests_are_no_failure_of_ours_and_cost_no_memory() {
    let Some(api) = Api::start().await else { return };
    let count: u32 =
        std::env::var("CYBERBRAIN_NOISE_REQUESTS").map_or(5_000, |text| text.parse().expect("a number"));
    let mut random = seeded_rng("thousands_of_malformed_requests_are_no_failure_of_ours_and_cost_no_memory");
    let targets = targets();
    let before = api.stored().await;
    let mut seen = std::collections::BTreeMap::<u16, u32>::new();
    let mut resident = (0, 0);
    for n in 0..count {
        let route = targets.choose(&mut random).unwrap();
        let others = ["GET", "PUT", "OPTIONS", "BREW"];
        let method = match random.random_range(0..10) {
            0 => others.choose(&mut random).unwrap(),
            _ => route.method.as_str(),
        };
        let target = path(&mut random, route);
        let content = match route.takes {
            Takes::Json { example, .. } => body(&mut random, example),
            Takes::Nothing | Takes::Form { .. } | Takes::Bytes => Vec::new(),
        };
        let key = format!("k{n}");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let shown = String::from_utf8_lossy(&content).into_owned();
        let sent = request(method, &target, Some(&api.admin), &headers, Body::from(content));
        let answer = api.send(sent).await;
        assert!(answer.status < 500, "{method} {target} {shown}: {}", answer.text());
        if answer.status >= 400 && !route.is_for_browsers() {
            answer.problem();
        }
        // A key is no session: pages lead to the login.
        if !["GET", "OPTIONS"].contains(&method) && !route.is_for_browsers() {
            assert!(answer.status >= 400, "{method} {target} {shown}: {}", answer.text());
        }
        *seen.entry(answer.status).or_default() += 1;
        if n == count / 10 {
            resident.0 = resident_mib();
        }
    }
    resident.1 = resident_mib();
    eprintln!(
        "answers by status: {seen:?}; resident {} MiB after a tenth, {} MiB at the end",
        resident.0, resident.1
    );
    for status in [200, 400, 404, 405, 422] {
        assert!(seen.contains_key(&status), "no {status} among {seen:?}: is the noise of one kind only?");
    }
    // Other tests run in the same process; what is looked for is growth with each request.
    assert!(resident.1 < resident.0 + 256, "memory grew from {} to {} MiB", resident.0, resident.1);
    assert_eq!(api.stored().await, before);
}
