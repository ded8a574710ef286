//! A language model beside a triage: what it is shown, what of its answers is kept, and that nothing depends on it.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use cyberbrain_core::outcome::{AskFailure, Cause, ModelUse};
use cyberbrain_worker::Job;
use serde_json::{Value, json};

use crate::staged::{Left, Worker};

const PLANTED: &str = "XYZZY-the-model-said-so";

/// A gateway that gives this answer to everything; and the bodies that it was sent.
struct Gateway {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Gateway {
    fn answering(status: u16, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        // Ends with the process: it only ever waits for a connection.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut buffer = [0; 4_096];
                let body_of = |bytes: &[u8]| {
                    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
                    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
                    let length: usize =
                        text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
                    (bytes.len() >= head + length).then(|| bytes[head..head + length].to_vec())
                };
                let request = loop {
                    if let Some(body) = body_of(&bytes) {
                        break body;
                    }
                    let read = stream.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..read]);
                };
                seen.lock().unwrap().push(serde_json::from_slice(&request).unwrap());
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Self { url, asked }
    }

    /// One that says this in a chat.
    fn saying(content: &str) -> Self {
        Self::answering(
            200,
            json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] }).to_string(),
        )
    }

    fn access(&self) -> Value {
        json!({ "state": "gateway", "base_url": self.url, "models": ["small", "large"] })
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn triage(llm: &Value, params: &Value) -> (Worker, Left) {
    let mut worker = Worker::of("log_triage");
    worker.lines(
        "web",
        &[
            "ERROR connection to db.internal refused, password=hunter2secret token from 10.1.2.3",
            "Traceback (most recent call last):",
            "  File \"app.py\", line 3, in serve",
            "ValueError: bad value",
        ],
    );
    worker.edit_job(|job| {
        job["llm"] = llm.clone();
        job["params"] = params.clone();
    });
    let left = worker.run(Job::LogTriage).unwrap();
    (worker, left)
}

#[test]
fn a_choice_and_a_number_are_kept_and_no_word() {
    let said = format!(r#"{PLANTED} {{"cause": "dependency", "confidence": 0.83, "note": "{PLANTED}"}}"#);
    let gateway = Gateway::saying(&said);
    let (worker, left) = triage(&gateway.access(), &json!({}));
    let model = &left.triage().model;
    assert_eq!((model.used, model.asked as usize), (ModelUse::Asked, left.triage().findings.len()));
    assert!(!model.causes.is_empty() && model.failures.is_empty(), "{model:?}");
    for (place, cause) in (1_u32..).zip(&model.causes) {
        assert_eq!((cause.finding, cause.cause, cause.confidence_percent), (place, Cause::Dependency, 83));
    }
    assert!(
        left.report.contains("A language model takes it for **dependency** (83 % sure)."),
        "{}",
        left.report
    );
    let result = serde_json::to_string(&left.result).unwrap();
    for text in [&left.report, &left.stdout, &result, &worker.artifact("templates.json")] {
        assert!(!text.contains(PLANTED), "{text}");
    }
    assert!(!worker.out("llm-notes.md").exists(), "nobody wanted its words");

    let asked = gateway.asked();
    assert_eq!(asked.len() as u64, model.asked);
    assert_eq!((&asked[0]["model"], &asked[0]["temperature"]), (&json!("small"), &json!(0.0)));
    for question in &asked {
        let text = question.to_string();
        assert!(text.len() < 4_096, "bounded: {text}");
        for secret in ["hunter2secret", "10.1.2.3"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn its_own_words_go_to_one_file_if_they_are_wanted() {
    let said =
        format!(r#"{{"cause": "defect", "confidence": 1, "note": "{PLANTED} password=hunter2secret"}}"#);
    let (worker, left) = triage(&Gateway::saying(&said).access(), &json!({ "llm_notes": true }));
    let notes = worker.artifact("llm-notes.md");
    assert!(notes.contains(PLANTED) && !notes.contains("hunter2secret"), "{notes}");
    assert!(!left.report.contains(PLANTED), "{}", left.report);
    assert!(!serde_json::to_string(&left.result).unwrap().contains(PLANTED));
}

#[test]
fn a_model_that_fails_takes_nothing_away() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed =
        json!({ "state": "gateway", "base_url": format!("http://{nobody}/v1"), "models": ["small"] });
    let without = triage(&json!({ "state": "not_configured" }), &json!({})).1;
    for (access, expected) in [
        (closed, AskFailure::Unreachable),
        (Gateway::answering(429, format!("{{\"error\": \"{PLANTED}\"}}")).access(), AskFailure::Refused),
        (Gateway::answering(200, PLANTED.to_owned()).access(), AskFailure::Malformed),
        (Gateway::answering(200, "x".repeat(1024 * 1024)).access(), AskFailure::Malformed),
        (Gateway::saying(r#"{"cause": "gremlins", "confidence": 1}"#).access(), AskFailure::Malformed),
    ] {
        let (_, left) = triage(&access, &json!({}));
        let model = &left.triage().model;
        assert_eq!((model.causes.len(), model.failures.as_slice()), (0, &[expected][..]));
        assert_eq!(left.triage().findings, without.triage().findings, "the findings stand");
        let told = format!("Questions that came to nothing: {expected}. The findings stand without it.");
        assert!(left.report.contains(&told), "{}", left.report);
        assert!(!left.report.contains(PLANTED));
    }
}

#[test]
fn without_a_model_or_a_way_to_it_nobody_is_asked() {
    let none = triage(&json!({ "state": "not_configured" }), &json!({})).1;
    assert_eq!(none.triage().model.used, ModelUse::NotConfigured);
    assert!(!none.report.contains("language model"), "{}", none.report);
    let no_network = triage(&json!({ "state": "no_network" }), &json!({})).1;
    assert_eq!((no_network.triage().model.used, no_network.triage().model.asked), (ModelUse::NoNetwork, 0));
    assert!(no_network.report.contains("No language model was asked: the job's network is `none`."));
}
