//! A Run of all jobs over real containers with planted faults, and a language model's endpoint behind the gateway: the report
//! names the faults, and every number in it is held against what was planted.

mod landscape;
mod machines;
mod markdown;
mod model;
mod outcome;
mod packed;
mod secrecy;
mod triage;
mod truth;

use std::{path::Path, time::Duration};

use cyberbrain_testkit::{Need, require, wait_until};
use serde_json::{Value, json};
use tokio::process::Command;

use self::{
    landscape::{Landscape, PLANTED_CREDENTIAL, PLANTED_MESSAGE, inspect_image},
    markdown::{number, table},
    model::{Model, PLANTED_ANSWER},
    outcome::{Outcome, count},
};
use crate::support::{Installation, binary};

const LIMIT: Duration = Duration::from_secs(180);
/// What the fourth job finds.
const ORDERS: u64 = 42;
/// Words of every question to the model.
const OF_A_QUESTION: &str = "You classify one finding";

async fn up(directory: &Path, model: &Model) -> Installation {
    let endpoints = directory.join("endpoints.json");
    let file = json!({"endpoints": [
        {"name": "desk", "kind": "openai", "base_url": model.base_url, "models": {"default": "tiny-1"}}]});
    std::fs::write(&endpoints, file.to_string()).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["up", "--json", "--fake-gpus", "1x8192", "--data-dir"])
        .arg(directory.join("data"))
        .env("CYBERBRAIN_LLM_ENDPOINTS", endpoints);
    Installation::start(command).await
}

/// A job of a user's own in the same image, as an admin makes it.
async fn add_own_job(up: &Installation, planted: &Landscape) {
    let pin = inspect_image(planted.image());
    up.api.post("/allowlist/images", &json!({"image": planted.image(), "pin": pin})).await;
    let script =
        format!(r#"printf '{{"kind":"custom","values":{{"orders":{ORDERS}}}}}' > /logs/result.json"#);
    let spec = json!({
        "image": planted.image(), "command": ["sh", "-c", script], "network": "none",
        "output": {"orders": {"kind": "integer", "least": 0, "most": 1000}},
    });
    up.api.post("/jobs", &json!({"job": "count_orders", "name": "Count orders", "spec": spec})).await;
}

async fn run(up: &Installation, jobs: Value) -> Outcome {
    let run = up.api.launch(jobs).await;
    let run = up.api.finished(&run, LIMIT).await;
    assert_eq!(run["status"], "success", "{run:#}");
    Outcome::of(&up.api, &run).await
}

#[tokio::test]
async fn a_run_of_all_jobs_names_what_was_planted_and_every_number_holds() {
    if !require(Need::Postgres) || !require(Need::Docker) || !require(Need::WebServer) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(dir.path()).await;
    let up = up(dir.path(), &model).await;
    let planted = Landscape::plant(dir.path(), &up.api).await;
    for name in planted.names() {
        up.api.post("/allowlist/containers", &json!({"container_id": name})).await;
    }
    add_own_job(&up, &planted).await;
    // Something for the report about the card to tell.
    let on_the_card = json!({"policy": "require", "count": 1, "min_vram_mib": 2048});
    run(&up, json!([{"job": "count_orders", "gpu": on_the_card}])).await;

    let all = json!([
        {"job": "log_triage"}, {"job": "gpu_report"}, {"job": "service_map"}, {"job": "count_orders"}]);
    let first = run(&up, all.clone()).await;
    triage::holds(&first, &triage::everything(&planted), &truth::findings(&planted)).await;
    triage::has_opinions(&first).await;
    machines::map_holds(&first, &planted).await;
    machines::card_holds(&first, &up).await;
    own_job_holds(&first);
    tokens_hold(&first, &up, &model).await;
    run_holds(&first);
    files_hold(&first, &dir.path().join("data/logs")).await;
    let everywhere = [PLANTED_CREDENTIAL, PLANTED_ANSWER, OF_A_QUESTION, "cbw_"];
    secrecy::nowhere(&up, &dir.path().join("data"), &first, &everywhere).await;
    assert!(model.asked().iter().all(|asked| !asked.messages.contains(PLANTED_CREDENTIAL)));
    // A word of a log is told by the job's report, and by nothing else.
    assert!(first.artifact("log_triage", "report.md").await.contains(PLANTED_MESSAGE));
    secrecy::not_in_rows_metrics_and_answers(&up, &first, &[PLANTED_MESSAGE]).await;

    // What comes later is all that the next one reads, once, and it is known to be no new kind.
    let before = triage::everything(&planted);
    planted.guess_passwords(4);
    wait_until("the new lines", LIMIT, async || {
        planted.lines(&planted.database).len() == before[planted.database.as_str()].len() + 8
    })
    .await;
    let second = run(&up, all).await;
    let mut later = triage::everything(&planted);
    for (name, lines) in &mut later {
        lines.drain(..before[name].len());
    }
    let expected = [("auth_failure".to_owned(), planted.database.clone(), 4)];
    triage::holds(&second, &later, &expected).await;
    assert_eq!(second.result("log_triage").await["findings"][0]["novelty"], "known");
    up.interrupt().await;
}

fn own_job_holds(outcome: &Outcome) {
    let headline = &outcome.job("count_orders")["headline"];
    assert_eq!(headline["top"], json!([{"name": "orders", "value": ORDERS}]));
    assert!(outcome.markdown.contains(&format!("- orders: {ORDERS}")), "{}", outcome.markdown);
}

/// The counts of the gateway are what the endpoint said, in every place that tells them.
async fn tokens_hold(outcome: &Outcome, up: &Installation, model: &Model) {
    let asked = model.asked();
    let calls = asked.len() as u64;
    let prompt: u64 = asked.iter().map(|asked| asked.prompt_tokens).sum();
    let completion: u64 = asked.iter().map(|asked| asked.completion_tokens).sum();
    assert!(calls > 0 && asked.iter().all(|asked| asked.model == "tiny-1"), "{asked:?}");
    let tokens = json!({"prompt": prompt, "completion": completion, "total": prompt + completion});
    assert_eq!(outcome.run["tokens"], tokens);
    let triage = outcome.run["run_jobs"].as_array().unwrap().iter().find(|job| job["job"] == "log_triage");
    assert_eq!(triage.unwrap()["tokens"], tokens);
    let pair = json!({"prompt": prompt, "completion": completion});
    assert_eq!((&outcome.report["tokens"], &outcome.job("log_triage")["tokens"]), (&pair, &pair));
    let usage = outcome.report["usage"].as_array().unwrap();
    assert_eq!(usage.len(), 1, "one job and one model: {usage:?}");
    for (key, expected) in [
        ("calls", calls),
        ("estimated_calls", 0),
        ("prompt", prompt),
        ("completion", completion),
        ("total", prompt + completion),
    ] {
        assert_eq!(count(&usage[0][key]), expected, "{key} of {}", usage[0]);
    }
    let rows = table(&outcome.markdown, "## Tokens");
    assert_eq!(rows.len(), 2, "the line and the sum: {rows:?}");
    let of_row = ["Calls", "Prompt", "Completion", "Total"].map(|column| number(&rows[0][column]));
    assert_eq!(of_row, [calls, prompt, completion, prompt + completion]);
    let sum = ["Prompt", "Completion", "Total"].map(|column| number(&rows[1][column]));
    assert_eq!(sum, [prompt, completion, prompt + completion]);
    let rows: (i64, i64, i64, bool) = sqlx::query_as(
        "select count(*), sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, bool_or(estimated) from llm_calls",
    )
    .fetch_one(&up.pool())
    .await
    .unwrap();
    let expected = [calls, prompt, completion].map(|count| i64::try_from(count).unwrap());
    assert_eq!(rows, (expected[0], expected[1], expected[2], false));
}

/// Under the logs root lies the same report.
async fn files_hold(outcome: &Outcome, logs: &Path) {
    let directory = logs.join("runs").join(outcome.run["id"].as_str().unwrap());
    let (markdown, json) = (directory.join("report.md"), directory.join("report.json"));
    wait_until("both files of the report", LIMIT, async || markdown.exists() && json.exists()).await;
    assert_eq!(std::fs::read_to_string(markdown).unwrap(), outcome.markdown);
    let json: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(json, outcome.report);
}

/// The numbers of the Run itself.
fn run_holds(outcome: &Outcome) {
    assert_eq!(outcome.report["counts"], json!({"success": 4, "failed": 0, "cancelled": 0}));
    assert!(
        outcome.markdown.contains("| Jobs | 4 succeeded, 0 failed, 0 cancelled |"),
        "{}",
        outcome.markdown
    );
    let rows = table(&outcome.markdown, "## Jobs");
    assert_eq!(rows.len(), 4);
    for (at, row) in rows.iter().enumerate() {
        let job = &outcome.report["jobs"][at];
        assert_eq!((number(&row["#"]), number(&row["Attempts"])), (count(&job["ordinal"]), 1));
        assert_eq!(row["Status"], "success");
    }
    for key in ["created_at", "started_at", "finished_at"] {
        assert_eq!(outcome.report[key], outcome.run[key], "{key}");
    }
}
