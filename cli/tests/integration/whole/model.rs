//! A language model's endpoint as a process of its own: this test binary, run again.
//!
//! It speaks the part of OpenAI's API that is asked of it, answers by the question, and writes down what it was asked and
//! what it counted, so that a test knows both sides.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::AsyncBufReadExt as _,
    process::{Child, Command},
};

const RECORD: &str = "CYBERBRAIN_TEST_MODEL_RECORD";
/// Stands in every answer, beside what is asked for, and must be kept nowhere.
pub const PLANTED_ANSWER: &str = "PLANTED-ANSWER-c41d";

/// A running endpoint.
pub struct Model {
    _child: Child,
    pub base_url: String,
    record: PathBuf,
}

/// One question, and what the endpoint says that it used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    pub model: String,
    pub messages: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

impl Model {
    /// Starts it; what it is asked goes into a file below `directory`.
    pub async fn start(directory: &Path) -> Self {
        let record = directory.join("asked.jsonl");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "whole::model::endpoint_process", "--nocapture"])
            .env(RECORD, &record)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let found = tokio::time::timeout(Duration::from_secs(30), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, url)) = line.split_once("ENDPOINT ") {
                    return Some(url.to_owned());
                }
            }
            None
        });
        let base_url = found.await.expect("it listens within 30 s").expect("it says where");
        Self { _child: child, base_url, record }
    }

    /// All that it was asked until now.
    pub fn asked(&self) -> Vec<Asked> {
        let text = std::fs::read_to_string(&self.record).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What it says of a finding of this kind: a choice of the closed list, and how sure it is in percent.
pub fn opinion(kind: &str) -> (&'static str, u64) {
    match kind {
        "out_of_memory" | "disk_full" => ("resources", 91),
        "crash_loop" => ("configuration", 82),
        "auth_failure" => ("credentials", 73),
        "server_errors" | "connection_failure" => ("dependency", 64),
        "timeout" => ("overload", 55),
        _ => ("defect", 46),
    }
}

/// Not a test: the body of [`Model`].
#[test]
#[ignore = "run by another test, in a process of its own"]
fn endpoint_process() {
    let Some(record) = std::env::var_os(RECORD) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("ENDPOINT http://{}/v1", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let record = PathBuf::from(&record);
        std::thread::spawn(move || while answer(stream.as_ref().unwrap(), &record).is_some() {});
    }
}

/// Answers one request of a connection; `None` at its end.
fn answer(mut stream: &TcpStream, record: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let (status, said) = if head.starts_with("POST /v1/chat/completions ") {
        ("200 OK", complete(&serde_json::from_slice(&body).ok()?, record))
    } else {
        ("404 Not Found", json!({"error": {"message": "no such route"}}))
    };
    let said = said.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    )
    .ok()
}

fn complete(question: &Value, record: &Path) -> Value {
    let messages: Vec<&str> =
        question["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    let messages = messages.join("\n");
    let kind = messages.lines().find_map(|line| line.strip_prefix("finding: ")).unwrap_or_default();
    let (cause, percent) = opinion(kind);
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    let chosen = json!({"cause": cause, "confidence": percent as f64 / 100.0, "note": PLANTED_ANSWER});
    let content = format!("{PLANTED_ANSWER}: {chosen} {PLANTED_ANSWER}");
    // Counted in words, so that each question counts for something else.
    let words = |text: &str| text.split_whitespace().count() as u64;
    let asked = Asked {
        model: question["model"].as_str().unwrap().to_owned(),
        prompt_tokens: words(&messages),
        completion_tokens: words(&content),
        messages,
    };
    let mut file = OpenOptions::new().create(true).append(true).open(record).unwrap();
    writeln!(file, "{}", serde_json::to_string(&asked).unwrap()).unwrap();
    json!({
        "id": "1", "object": "chat.completion", "model": asked.model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": asked.prompt_tokens, "completion_tokens": asked.completion_tokens,
                  "total_tokens": asked.prompt_tokens + asked.completion_tokens},
    })
}
