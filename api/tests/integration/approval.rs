//! Approving and denying: one decision per Run, audited, and a push to the scheduler.

use axum::body::Body;
use serde_json::json;

use crate::{
    harness::{Answer, Api, request},
    mcp::Served,
};

const ASK: &str = "update directives set approval_required = true where directive_type = 'D1'";
const ADMIT: &str = "select count(*) from apalis.jobs where convert_from(job, 'UTF8') like '%\"admit\"%'";

/// Decides as the admin.
async fn decide(api: &Api, id: &str, verb: &str, body: &str) -> Answer {
    let path = format!("/api/v1/runs/{id}/{verb}");
    let headers = [("content-type", "application/json")];
    api.send(request("POST", &path, Some(&api.admin), &headers, Body::from(body.to_owned()))).await
}

#[tokio::test]
async fn a_decision_is_stored_once_with_its_audit_row_and_wakes_the_scheduler() {
    let Some(api) = Api::start().await else { return };
    api.execute(ASK).await;
    for (verb, decision, opposite) in [("approve", "approved", "deny"), ("deny", "denied", "approve")] {
        let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
        let before = api.count(ADMIT).await;
        let answer = decide(&api, &id, verb, r#"{"reason": "it is time"}"#).await;
        assert_eq!((answer.status, &answer.json()["id"]), (202, &json!(id)), "{}", answer.text());
        assert_eq!(api.count(ADMIT).await, before + 1, "the scheduler is told");
        let row: (String, String, String) =
            sqlx::query_as("select decision, decided_by, reason from run_approvals where run_id = $1::uuid")
                .bind(&id)
                .fetch_one(&mut api.db.connect().await)
                .await
                .unwrap();
        assert_eq!(row, (decision.to_owned(), "key:boss".to_owned(), "it is time".to_owned()));
        let audited: i64 = sqlx::query_scalar(
            "select count(*) from worker_audit where run_id = $1::uuid and operation = 'change'
                 and actor = 'key:boss' and selection_reason = 'it is time' and config_snapshot ->> 'approval' = $2",
        )
        .bind(&id)
        .bind(decision)
        .fetch_one(&mut api.db.connect().await)
        .await
        .unwrap();
        assert_eq!(audited, 1);
        let stored = api.stored().await;
        assert_eq!(decide(&api, &id, verb, "{}").await.status, 200, "the same again");
        let answer = decide(&api, &id, opposite, "{}").await;
        assert_eq!((answer.status, answer.problem()), (409, "conflict".to_owned()));
        assert!(answer.text().contains(&format!("was {decision} by key:boss")), "{}", answer.text());
        assert_eq!(api.stored().await, stored, "neither wrote anything");
    }
}

#[tokio::test]
async fn of_two_decisions_at_once_one_stands() {
    let Some(api) = Api::start().await else { return };
    api.execute(ASK).await;
    for _ in 0..10 {
        let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
        let (one, other) = tokio::join!(decide(&api, &id, "approve", "{}"), decide(&api, &id, "deny", "{}"));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409], "{} {}", one.text(), other.text());
    }
    assert_eq!(api.count("select count(*) from run_approvals").await, 10);
}

#[tokio::test]
async fn what_does_not_wait_for_a_decision_gets_none() {
    let Some(api) = Api::start().await else { return };
    let free = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    api.execute(ASK).await;
    let gone = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    assert_eq!(api.post(&format!("/api/v1/runs/{gone}/cancel"), None).await.status, 202);
    let waits = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let stored = api.stored().await;
    let unknown = "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00";
    let long = json!({ "reason": "x".repeat(501) }).to_string();
    let cases = [
        (free.as_str(), "{}", 409, "asks for none"),
        (&gone, "{}", 409, "ended or is being cancelled"),
        (unknown, "{}", 404, "there is no run"),
        (&waits, r#"{"reason": "two\nlines"}"#, 422, "control character"),
        (&waits, &long, 422, "more than 500 characters"),
        (&waits, r#"{"because": "x"}"#, 422, "unknown field"),
        (&waits, "[]", 422, "invalid type"),
    ];
    for (id, body, status, said) in cases {
        let answer = decide(&api, id, "approve", body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(said), "{said}: {}", answer.text());
    }
    let path = format!("/api/v1/runs/{waits}/approve");
    assert_eq!(api.post(&path, Some(&json!({}))).await.status, 403, "an operator decides nothing");
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn a_model_decides_through_the_same_service() {
    let Some(served) = Served::start().await else { return };
    let api = &served.api;
    api.execute(ASK).await;
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let decide = |decision: &str| json!({ "id": id, "decision": decision, "reason": "looks right" });
    let refused = served.call(&api.operator, "approve_run", decide("approved")).await;
    assert_eq!(refused["isError"], true, "{refused}");
    for said in ["is approved and will be admitted", "was approved before"] {
        let result = served.call(&api.admin, "approve_run", decide("approved")).await;
        assert_eq!((&result["isError"], &result["structuredContent"]["id"]), (&json!(false), &json!(id)));
        assert!(result["content"][0]["text"].as_str().unwrap().contains(said), "{result}");
    }
    let refused = served.call(&api.admin, "approve_run", decide("denied")).await;
    assert_eq!(refused["isError"], true);
    assert!(refused["content"][0]["text"].as_str().unwrap().contains("a decision stays"), "{refused}");
    let since = served.done("list_runs", json!({ "since_last_success": true })).await;
    assert_eq!((&since["since"], &since["runs"][0]["id"]), (&json!(null), &json!(id)));
}
