//! Looks for planted texts wherever an installation could have kept them.

use std::path::Path;

use super::outcome::Outcome;
use crate::support::Installation;

/// Every row of every table, every file below the data directory, every metric, and what
/// the api says of the Run.
pub async fn nowhere(up: &Installation, data: &Path, outcome: &Outcome, words: &[&str]) {
    let mut seen = 0;
    in_no_file(data, words, &mut seen);
    assert!(seen > 20, "logs and artifacts are there: {seen} files");
    not_in_rows_metrics_and_answers(up, outcome, words).await;
}

/// The same without files.
pub async fn not_in_rows_metrics_and_answers(up: &Installation, outcome: &Outcome, words: &[&str]) {
    in_no_table(up, words).await;
    in_no_metric(up, words).await;
    in_no_answer(up, outcome, words).await;
}

async fn in_no_table(up: &Installation, words: &[&str]) {
    let pool = up.pool();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, tablename::text from pg_tables \
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for (schema, table) in tables {
        let query = format!(r#"select count(*) from "{schema}"."{table}" t where strpos(t::text, $1) > 0"#);
        for word in words {
            let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone())).bind(*word);
            let found: i64 = query.fetch_one(&pool).await.unwrap();
            assert_eq!(found, 0, "{word} is in {schema}.{table}");
        }
    }
}

/// The database's own files are left out: they are looked at as tables.
fn in_no_file(directory: &Path, words: &[&str], seen: &mut u64) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if path.file_name().is_some_and(|name| name != "postgres") {
                in_no_file(&path, words, seen);
            }
        } else if let Ok(bytes) = std::fs::read(&path) {
            *seen += 1;
            let text = String::from_utf8_lossy(&bytes);
            for word in words {
                assert!(!text.contains(word), "{word} is in {}", path.display());
            }
        }
    }
}

async fn in_no_metric(up: &Installation, words: &[&str]) {
    let launchers = "select metrics_url from launchers where state = 'live' and metrics_url is not null";
    let mut urls: Vec<String> = sqlx::query_scalar(launchers).fetch_all(&up.pool()).await.unwrap();
    urls.extend(["api", "scheduler"].map(|role| up.ready["metrics"][role][0].as_str().unwrap().to_owned()));
    let mut calls = 0;
    for url in urls {
        let text = up.api.text(&url).await.unwrap();
        calls += text.matches("cyberbrain_llm_calls_total{").count();
        for word in words {
            assert!(!text.contains(word), "{word} is in {url}");
        }
    }
    assert!(calls > 0, "the launcher counted the calls");
}

async fn in_no_answer(up: &Installation, outcome: &Outcome, words: &[&str]) {
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
    for word in words {
        let found = answers.iter().find(|answer| answer.contains(word));
        assert!(found.is_none(), "{word} is in {found:?}");
    }
}
