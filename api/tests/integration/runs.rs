//! A Run and a RunJob as clients see them, from launch to report.

use axum::body::Body;
use cyberbrain_common::{
    db::llm_calls::{LlmCall, record},
    ids::fresh,
};
use cyberbrain_core::{lifecycle::RunJobStatus, report::RunReport};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api, request},
    machines,
};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_run_has_the_documented_form() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"] })).await;
    let path = format!("/api/v1/runs/{id}");
    let run = api.get(&path).await.json();
    let run_fields = vec![
        "id",
        "status",
        "directive",
        "created_at",
        "started_at",
        "finished_at",
        "tokens",
        "origin",
        "run_jobs",
    ];
    assert_eq!(keys(&run), sorted(run_fields));
    let job_fields = vec![
        "id",
        "job",
        "name",
        "status",
        "host",
        "gpus",
        "selection_reason",
        "waiting_reason",
        "attempts",
        "progress",
        "failure",
        "tokens",
    ];
    assert_eq!(keys(&run["run_jobs"][0]), sorted(job_fields));
    assert_eq!(
        (&run["status"], &run["started_at"], &run["finished_at"]),
        (&json!("pending"), &json!(null), &json!(null))
    );
    assert!(run["created_at"].as_str().unwrap().ends_with('Z'), "{run}");
    let waiting = &run["run_jobs"][0];
    assert_eq!(
        (&waiting["host"], &waiting["gpus"], &waiting["attempts"]),
        (&json!(null), &json!([]), &json!(0))
    );

    machines::run_one(&api, waiting["id"].as_str().unwrap()).await;
    api.execute(
        r#"update run_jobs set prompt_tokens = 7, completion_tokens = 5,
               progress = '{"percent":42.0,"stage":"reading logs","done":420,"total":1000,"unit":"bytes"}'
           where status = 'running';
           update run_jobs set waiting_reason = 'no_host_known' where status = 'pending'"#,
    )
    .await;
    let run = api.get(&path).await.json();
    assert_eq!(run["status"], "running");
    let (running, waiting) = (&run["run_jobs"][0], &run["run_jobs"][1]);
    assert_eq!(
        (&running["status"], &running["host"], &running["gpus"], &running["attempts"]),
        (&json!("running"), &json!("box"), &json!(["GPU-a"]), &json!(1))
    );
    assert_eq!(running["selection_reason"], "score 0.15, the lowest of 2");
    assert_eq!(running["progress"]["percent"], 42.0);
    assert_eq!(running["tokens"], json!({ "prompt": 7, "completion": 5, "total": 12 }));
    assert_eq!((&running["waiting_reason"], &running["failure"]), (&json!(null), &json!(null)));
    assert_eq!(waiting["waiting_reason"], "no_host_known");
}

#[tokio::test]
async fn a_run_that_is_held_says_so_on_its_run_jobs() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    api.execute("update runs set hold = 'awaiting_approval'").await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(run["run_jobs"][0]["waiting_reason"], "awaiting_approval");
}

#[tokio::test]
async fn a_run_job_shows_attempts_and_audit_in_order() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let run_job = run["run_jobs"][0]["id"].as_str().unwrap();
    machines::run_one(&api, run_job).await;
    let detail = api.get(&format!("/api/v1/run-jobs/{run_job}")).await.json();
    assert_eq!((&detail["run_id"], &detail["job"]), (&json!(id), &json!("log_triage")));
    let attempt = &detail["attempts"][0];
    assert_eq!(
        (&attempt["number"], &attempt["state"], &attempt["placement"], &attempt["container_id"]),
        (&json!(1), &json!("running"), &json!("gpu"), &json!("c0ffee"))
    );
    assert_eq!((&attempt["gpus"], &attempt["host"]), (&json!(["GPU-a"]), &json!("box")));
    let steps: Vec<&str> =
        detail["audit"].as_array().unwrap().iter().map(|row| row["operation"].as_str().unwrap()).collect();
    assert_eq!(steps, ["submit", "assign", "accept", "stage", "start"]);
    assert_eq!(detail["audit"][1]["config_snapshot"]["resources"]["cpu_millis"], 500);
}

#[tokio::test]
async fn tokens_are_seen_on_the_attempt_the_run_job_and_the_run_while_it_runs() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    let run_job = run["run_jobs"][0]["id"].as_str().unwrap();
    machines::run_one(&api, run_job).await;
    let path = format!("/api/v1/run-jobs/{run_job}");
    let attempt = api.get(&path).await.json()["attempts"][0]["id"].as_str().unwrap().to_owned();
    let call = |prompt_tokens, completion_tokens| LlmCall {
        id: fresh(),
        run_job: run_job.parse().unwrap(),
        attempt: attempt.parse().unwrap(),
        endpoint: "local".into(),
        model: "default".into(),
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        estimated: false,
        duration_ms: 5,
        failure: None,
    };
    let calls = [call(10, 1), call(20, 2)];
    // Written twice, as after a commit whose answer was lost.
    for _ in 0..2 {
        record(&mut api.db.connect().await, &calls).await.unwrap();
    }
    let expected = json!({"prompt": 30, "completion": 3, "total": 33});
    let detail = api.get(&path).await.json();
    assert_eq!((&detail["tokens"], &detail["attempts"][0]["tokens"]), (&expected, &expected));
    let run = api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!((&run["tokens"], &run["run_jobs"][0]["tokens"]), (&expected, &expected));
}

async fn report(api: &Api, id: &str, accept: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = accept.map(|accept| ("accept", accept)).into_iter().collect();
    let path = format!("/api/v1/runs/{id}/report");
    api.send(request("GET", &path, Some(&api.viewer), &headers, Body::empty())).await
}

#[tokio::test]
async fn the_report_comes_with_the_end_in_the_form_asked_for() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let early = report(&api, &id, None).await;
    assert_eq!((early.status, early.problem().as_str()), (409, "run-not-finished"));
    assert!(early.headers.contains_key("retry-after"));
    api.end(&id, RunJobStatus::Success).await;
    let markdown = report(&api, &id, None).await;
    assert_eq!((markdown.status, markdown.text().lines().next()), (200, Some("# Log triage: succeeded")));
    assert_eq!(markdown.headers["content-type"], "text/markdown; charset=utf-8");
    assert!(markdown.headers["vary"].contains("accept"), "{:?}", markdown.headers);
    assert_eq!(report(&api, &id, Some("text/markdown")).await.text(), markdown.text());
    let data = report(&api, &id, Some("application/json")).await;
    assert_eq!(data.status, 200);
    let built: RunReport = serde_json::from_value(data.json()).unwrap();
    assert_eq!(cyberbrain_core::report::markdown(&built), markdown.text(), "two forms of one report");
    let html = report(&api, &id, Some("application/json;q=0.8, text/html")).await;
    assert_eq!((html.status, html.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    assert!(html.text().starts_with("<!doctype html>"), "{}", html.text());
    assert!(html.text().contains("<h1>Log triage: succeeded</h1>\n<table>"), "{}", html.text());
    let neither = report(&api, &id, Some("image/png")).await;
    assert_eq!((neither.status, neither.problem().as_str()), (406, "not-acceptable"));
}

#[tokio::test]
async fn the_schema_of_reports_is_published_to_all() {
    let Some(api) = Api::start().await else { return };
    let path = "/api/v1/schemas/report.json";
    let schema = api.send(request("GET", path, None, &[], Body::empty())).await;
    assert_eq!(schema.status, 200);
    let validator = jsonschema::draft202012::new(&schema.json()).unwrap();
    assert!(!validator.is_valid(&json!({ "title": "x" })), "what is missing is told");
    for (status, ending) in [
        (RunJobStatus::Success, "success"),
        (RunJobStatus::Failed, "failed"),
        (RunJobStatus::Cancelled, "cancelled"),
    ] {
        let id = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"], "tags": ["x"] })).await;
        api.end(&id, status).await;
        let report = report(&api, &id, Some("application/json")).await.json();
        let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?} in {report:#}");
        assert_eq!(report["ending"], ending);
    }
}

#[tokio::test]
async fn a_report_as_html_is_a_document_in_which_nothing_runs() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let hostile = "# A <script>alert(1)</script>\n\n<img src=x onerror=alert(2)>\n\n[a](javascript:alert(3)) \
                   [b](/logout) ![c](https://example.org/c.png)\n\n</main></body><iframe src=//example.org>\n";
    api.end(&id, RunJobStatus::Failed).await;
    sqlx::query("update runs set report_markdown = $1")
        .bind(hostile)
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    let html = report(&api, &id, Some("text/html")).await;
    assert_eq!(html.status, 200);
    let policy = &html.headers["content-security-policy"];
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let text = html.text().to_ascii_lowercase();
    for bad in ["<script", "<img", "<iframe", "javascript:", "href=\"/logout", "example.org/c.png"] {
        assert!(!text.contains(bad), "{bad} in {text}");
    }
    assert!(text.contains("&lt;iframe src=//example.org&gt;"), "it is shown as it is: {text}");
    for whole in ["</main>", "</body>", "</html>"] {
        assert_eq!(text.matches(whole).count(), 1, "{whole} in {text}");
    }
}

#[tokio::test]
async fn artifacts_are_listed_in_pages() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    machines::host(&api).await;
    api.execute(
        "insert into run_artifacts (id, run_id, run_job_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), r.id, j.id, h.id, 'data', 'run/file-' || n, n, decode(repeat('ab', 32), 'hex'),
             'text/csv'
         from runs r join run_jobs j on j.run_id = r.id, hosts h, generate_series(1, 5) n",
    )
    .await;
    let base = format!("/api/v1/runs/{id}/artifacts?limit=2");
    let (mut path, mut files) = (base.clone(), Vec::new());
    loop {
        let page = api.get(&path).await.json();
        files.extend(page["artifacts"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{base}&cursor={cursor}");
    }
    let mut paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["run/file-1", "run/file-2", "run/file-3", "run/file-4", "run/file-5"]);
    assert_eq!(files[0]["sha256"], "ab".repeat(32));
    assert_eq!((&files[0]["host"], &files[0]["type"]), (&json!("box"), &json!("data")));
}
