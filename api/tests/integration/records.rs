//! The audit trail as pages and as an export, and sums of tokens.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Api, request};

fn ids(page: &Value) -> Vec<String> {
    let records = page["records"].as_array().unwrap();
    records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_trail_is_paged_filtered_and_exported_whole() {
    let Some(api) = Api::start().await else { return };
    let first = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"] })).await;
    let second = api.launch(&json!({ "jobs": ["service_map"] })).await;
    api.post(&format!("/api/v1/runs/{first}/cancel"), None).await;
    api.execute(
        "insert into worker_audit (id, at, operation, actor, host, attempt_id)
         select gen_random_uuid(), now() - make_interval(secs => n), 'start', 'system:launcher', 'box-' || n % 2,
             '01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00' from generate_series(1, 2500) n",
    )
    .await;
    let all = api.count("select count(*) from worker_audit").await;

    let mut paged = Vec::new();
    let mut path = "/api/v1/audit?limit=1000".to_owned();
    loop {
        let page = api.get(&path).await.json();
        paged.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/audit?limit=1000&cursor={cursor}");
        // What comes in meanwhile is newer than all pages to come.
        api.launch(&json!({ "jobs": ["service_map"] })).await;
    }
    assert_eq!(i64::try_from(paged.len()).unwrap(), all, "none twice, none left out");
    let export = api.get("/api/v1/audit/export?actor=system:launcher").await;
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2_500);
    let times: Vec<&str> = lines.iter().map(|line| line["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "newest first");

    let count =
        async |query: &str| ids(&api.get(&format!("/api/v1/audit?limit=1000&{query}")).await.json()).len();
    let runs_rows = "select count(*) from worker_audit where run_id = $1::uuid";
    let of_first: i64 =
        sqlx::query_scalar(runs_rows).bind(&first).fetch_one(&mut api.db.connect().await).await.unwrap();
    assert_eq!(i64::try_from(count(&format!("run={first}")).await).unwrap(), of_first);
    assert_eq!(count(&format!("run={first}&operation=submit")).await, 3);
    assert_eq!(count(&format!("run={second}&operation=cancel")).await, 0);
    assert_eq!(count("host=box-1&operation=start").await, 1_000, "one page of them");
    assert_eq!(count("attempt=01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00&host=box-none").await, 0);
    assert_eq!(count("from=2999-01-01T00:00:00Z").await, 0);
    assert_eq!(count("to=2001-01-01T00:00:00Z").await, 0);
    for wrong in ["run=7", "operation=sing", "from=yesterday", "stage=x"] {
        assert_eq!(api.get(&format!("/api/v1/audit?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn tokens_are_summed_by_each_dimension_and_as_csv() {
    let Some(api) = Api::start().await else { return };
    let one = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let other = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    for (run, model, prompt, estimated, success, day) in [
        (&one, "llama", 100, false, true, "2026-01-01"),
        (&one, "llama", 50, true, true, "2026-01-02"),
        (&other, "=cmd()", 7, false, false, "2026-01-02"),
    ] {
        sqlx::query(
            "insert into llm_calls (id, run_id, run_job_id, endpoint, model_id, prompt_tokens, completion_tokens,
                 total_tokens, estimated, duration_ms, success, error_class, created_at)
             select gen_random_uuid(), run_id, id, 'local', $2, $3, 10, $3 + 10, $4, 5, $5,
                 case when not $5 then 'idle_timeout' end, $6::timestamptz
             from run_jobs where run_id = $1::uuid",
        )
        .bind(run)
        .bind(model)
        .bind(prompt)
        .bind(estimated)
        .bind(success)
        .bind(format!("{day} 12:00:00+00"))
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    }
    let by = async |query: &str| {
        let body = api.get(&format!("/api/v1/usage?{query}")).await.json();
        let rows = body["usage"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| (row["key"].as_str().unwrap().to_owned(), row["total_tokens"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    let pair = |key: &str, total: i64| (key.to_owned(), total);
    assert_eq!(by("by=run").await, [pair(&one, 170), pair(&other, 17)]);
    assert_eq!(by("by=model").await, [pair("llama", 170), pair("=cmd()", 17)]);
    assert_eq!(by("by=job").await, [pair("log_triage", 170), pair("gpu_report", 17)]);
    assert_eq!(by("by=endpoint").await, [pair("local", 187)]);
    assert_eq!(by("").await, [pair("2026-01-01", 110), pair("2026-01-02", 77)], "days in order");
    assert_eq!(by("by=day&from=2026-01-02T00:00:00Z").await, [pair("2026-01-02", 77)]);
    assert_eq!(by("by=directive").await.iter().map(|row| row.1).sum::<i64>(), 187);
    let llama = api.get("/api/v1/usage?by=model").await.json()["usage"][0].clone();
    assert_eq!(
        (
            &llama["calls"],
            &llama["estimated_calls"],
            &llama["failed_calls"],
            &llama["prompt_tokens"],
            &llama["completion_tokens"]
        ),
        (&json!(2), &json!(1), &json!(0), &json!(150), &json!(20))
    );
    let accept = [("accept", "text/csv")];
    let csv =
        api.send(request("GET", "/api/v1/usage?by=model", Some(&api.viewer), &accept, Body::empty())).await;
    assert_eq!(
        csv.text(),
        "model,calls,failed_calls,estimated_calls,prompt_tokens,completion_tokens,total_tokens\r\n\
         \"llama\",2,0,1,150,20,170\r\n\"'=cmd()\",1,1,0,7,10,17\r\n"
    );
    let other = [("accept", "image/png")];
    let refused = api.send(request("GET", "/api/v1/usage", Some(&api.viewer), &other, Body::empty())).await;
    assert_eq!((refused.status, refused.problem()), (406, "not-acceptable".to_owned()));
}
