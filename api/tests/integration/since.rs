//! Runs since the last success: which one it is, what is listed, and pages that keep it.

use serde_json::{Value, json};

use crate::harness::Api;

const PATH: &str = "/api/v1/runs?since_last_success=true";

fn ids(page: &Value) -> Vec<&str> {
    page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect()
}

async fn launch(api: &Api, jobs: &[&str], created: &str) -> String {
    let id = api.launch(&json!({ "jobs": jobs })).await;
    set(api, &id, &format!("created_at = '{created}'")).await;
    id
}

/// Changes a Run behind the API's back.
async fn set(api: &Api, id: &str, what: &str) {
    let sql = format!("update runs set {what} where id = '{id}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut api.db.connect().await).await.unwrap();
}

async fn finish(api: &Api, id: &str, status: &str, at: &str) {
    set(api, id, &format!("status = '{status}', finished_at = '{at}'")).await;
    // Its run jobs with it: a run succeeds when all of them have.
    sqlx::query(
        "update run_jobs set status = $2, finished_at = $3::timestamptz,
             failure = case $2 when 'failed' then 'nonzero_exit' end where run_id = $1::uuid",
    )
    .bind(id)
    .bind(status)
    .bind(at)
    .execute(&mut api.db.connect().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn runs_created_after_the_last_success_finished_are_listed_and_it_is_named() {
    let Some(api) = Api::start().await else { return };
    let before = launch(&api, &["log_triage"], "2026-01-01T00:00:00Z").await;
    let page = api.get(PATH).await.json();
    assert_eq!(page["since"], Value::Null, "none has succeeded yet");
    assert_eq!(ids(&page), [&before], "so all are listed");

    let earlier = launch(&api, &["gpu_report"], "2026-01-01T01:00:00Z").await;
    let last = launch(&api, &["log_triage"], "2026-01-01T02:00:00Z").await;
    let meanwhile = launch(&api, &["log_triage"], "2026-01-01T02:30:00Z").await;
    let same_instant = launch(&api, &["log_triage"], "2026-01-01T03:00:00Z").await;
    let after = launch(&api, &["log_triage"], "2026-01-01T03:00:00.000001Z").await;
    let failed = launch(&api, &["gpu_report"], "2026-01-01T04:00:00Z").await;
    finish(&api, &earlier, "success", "2026-01-01T01:30:00Z").await;
    finish(&api, &last, "success", "2026-01-01T03:00:00Z").await;
    finish(&api, &failed, "failed", "2026-01-01T05:00:00Z").await;

    let page = api.get(PATH).await.json();
    assert_eq!(page["since"], json!({ "run": last, "finished_at": "2026-01-01T03:00:00Z" }));
    assert_eq!(ids(&page), [&failed, &after], "not {meanwhile} and not {same_instant}");
    // Of a job: the last success that holds it, and runs that hold it.
    let page = api.get(&format!("{PATH}&job=gpu_report")).await.json();
    assert_eq!(page["since"]["run"], json!(earlier));
    assert_eq!(ids(&page), [&failed]);
    let page = api.get(&format!("{PATH}&job=service_map")).await.json();
    assert_eq!((&page["since"], ids(&page).len()), (&Value::Null, 0), "no run of it ever succeeded, or was");
    // With the other filters; and without it nothing changes.
    assert_eq!(ids(&api.get(&format!("{PATH}&status=failed")).await.json()), [&failed]);
    let all = api.get("/api/v1/runs?since_last_success=false").await.json();
    assert_eq!((ids(&all).len(), &all["since"]), (7, &Value::Null));
}

#[tokio::test]
async fn a_success_between_two_pages_moves_nothing() {
    let Some(api) = Api::start().await else { return };
    for base in ["none", "one"] {
        let mut expected = Vec::new();
        for second in 10..16 {
            expected.push(launch(&api, &["log_triage"], &format!("2026-02-01T00:00:{second}Z")).await);
        }
        expected.reverse();
        let mut path = format!("{PATH}&limit=2");
        let mut seen = Vec::new();
        let first = api.get(&path).await.json()["since"].clone();
        assert_eq!(first.is_null(), base == "none");
        loop {
            let page = api.get(&path).await.json();
            assert_eq!(page["since"], first);
            seen.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{PATH}&limit=2&cursor={cursor}");
            // The newest succeeds later than all were created.
            finish(&api, &expected[0], "success", "2026-02-01T01:00:00Z").await;
        }
        assert_eq!(seen, expected);
        api.execute("delete from idempotency_keys; update runs set created_at = '2026-01-01T00:00:00Z', finished_at = '2026-01-02T00:00:00Z', status = 'success'").await;
    }
    let plain = api.get("/api/v1/runs?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    let answer = api.get(&format!("{PATH}&cursor={plain}")).await;
    assert_eq!((answer.status, answer.places()), (400, vec!["query /cursor".to_owned()]), "of another list");
    assert_eq!(api.get("/api/v1/runs?since_last_success=maybe").await.status, 400);
}
