//! Lists: filters, pages, and cursors that hold while rows come in.

use serde_json::{Value, json};

use crate::harness::Api;

fn ids(page: &Value) -> Vec<String> {
    let runs = page["runs"].as_array().unwrap();
    runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_runs_come_in() {
    let Some(api) = Api::start().await else { return };
    let mut launched = Vec::new();
    for _ in 0..25 {
        launched.push(api.launch(&json!({ "jobs": ["log_triage"] })).await);
    }
    // Some share an instant: the id decides then.
    api.execute("update runs set created_at = date_trunc('minute', created_at)").await;
    launched.sort_unstable_by(|a, b| b.cmp(a));
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=4".to_owned();
    for page in 1.. {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        seen.extend(ids(&body));
        let Some(cursor) = body["next_cursor"].as_str() else {
            assert!(!answer.headers.contains_key("link"), "no next page");
            break;
        };
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
        let expected = format!("</api/v1/runs?limit=4&cursor={cursor}>; rel=\"next\"");
        assert_eq!(answer.headers["link"], expected);
        path = format!("/api/v1/runs?limit=4&cursor={cursor}");
        api.launch(&json!({ "jobs": ["gpu_report"] })).await;
        assert!(page < 20, "it never ends");
    }
    assert_eq!(seen, launched);
}

#[tokio::test]
async fn filters_select_what_they_say() {
    let Some(api) = Api::start().await else { return };
    let triage = api.launch(&json!({ "jobs": ["log_triage"], "tags": ["a", "b c&d=ü"] })).await;
    let report = api.launch(&json!({ "jobs": ["gpu_report"], "tags": ["a"] })).await;
    let both = api.launch(&json!({ "jobs": ["log_triage", "gpu_report"] })).await;
    api.execute(
        "update runs set created_at = '2026-01-01T00:00:00Z' where directive_type = 'D1';
         update runs set created_at = '2026-01-02T00:00:00Z', requested_by = 'somebody' where directive_type = 'D2';
         update runs set created_at = '2026-01-03T00:00:00Z', status = 'running' where directive_type = 'D4'",
    )
    .await;
    let (triage, report, both) = (&triage, &report, &both);
    let cases: Vec<(&str, Vec<&String>)> = vec![
        ("", vec![both, report, triage]),
        ("status=pending", vec![report, triage]),
        ("status=running", vec![both]),
        ("status=success", vec![]),
        ("job=log_triage", vec![both, triage]),
        ("job=gpu_report&status=pending", vec![report]),
        ("job=unheard", vec![]),
        ("directive=D1", vec![triage]),
        ("directive=GPU%20report", vec![report]),
        ("tag=a", vec![report, triage]),
        ("tag=b+c%26d%3D%C3%BC", vec![triage]),
        ("requested_by=somebody", vec![report]),
        ("created_after=2026-01-02T00:00:00Z", vec![both, report]),
        ("created_after=2026-01-02T00:00:00Z&created_before=9999-12-31T23:59:59-23:59", vec![both, report]),
        ("created_before=0000-01-01T00:00:00%2B23:59", vec![]),
        ("created_before=2026-01-02T00:00:00Z", vec![triage]),
        ("created_after=2026-01-02T01:00:00%2B01:00&created_before=2026-01-03T00:00:00Z", vec![report]),
    ];
    for (query, expected) in cases {
        let answer = api.get(&format!("/api/v1/runs?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(ids(&answer.json()).iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_listed_run_says_what_it_can_be_filtered_by() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"], "tags": ["a"], "priority": 5 })).await;
    let listed = api.get("/api/v1/runs").await.json();
    let run = &listed["runs"][0];
    assert_eq!(
        (&run["id"], &run["status"], &run["directive"], &run["directive_type"]),
        (&json!(id), &json!("pending"), &json!("Log triage"), &json!("D1"))
    );
    assert_eq!(
        (&run["requested_by"], &run["tags"], &run["priority"], &run["cancel_requested"]),
        (&json!("operator"), &json!(["a"]), &json!(5), &json!(false))
    );
    assert_eq!(run["tokens"], json!({ "prompt": 0, "completion": 0, "total": 0 }));
}
