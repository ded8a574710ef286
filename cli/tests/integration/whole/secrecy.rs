//! Looks for planted texts in all that a Run leaves.

use std::path::Path;

use super::outcome::Outcome;
use crate::support::{Installation, kept};

/// Every row, every file below the data directory, every metric, and what the api says of the Run.
pub async fn nowhere(up: &Installation, data: &Path, outcome: &Outcome, words: &[&str]) {
    let seen = kept::in_no_file(data, words);
    assert!(seen > 20, "logs and artifacts are there: {seen} files");
    not_in_rows_metrics_and_answers(up, outcome, words).await;
}

/// The same without files.
pub async fn not_in_rows_metrics_and_answers(up: &Installation, outcome: &Outcome, words: &[&str]) {
    kept::in_no_table(up, words).await;
    let metrics = kept::in_no_metric(up, words).await;
    assert!(metrics.contains("cyberbrain_llm_calls_total{"), "the launcher counted the calls");
    kept::in_no_answer(&answers(up, outcome).await, words);
}

async fn answers(up: &Installation, outcome: &Outcome) -> Vec<String> {
    let run = outcome.run["id"].as_str().unwrap();
    let mut paths = vec![
        format!("/runs/{run}"),
        format!("/runs/{run}/artifacts"),
        format!("/audit?run={run}"),
        "/usage?by=model".to_owned(),
        "/containers".to_owned(),
    ];
    for job in outcome.run["run_jobs"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        paths.extend([
            format!("/run-jobs/{id}"),
            format!("/run-jobs/{id}/explain"),
            format!("/run-jobs/{id}/logs"),
        ]);
    }
    let mut answers = vec![outcome.markdown.clone(), outcome.report.to_string()];
    answers.push(up.api.read(&format!("/runs/{run}/report"), "text/html").await);
    for path in paths {
        answers.push(up.api.read(&path, "*/*").await);
    }
    answers
}
