//! Many runs at once: each by itself, again without harm, and never all by mistake.

use serde_json::{Value, json};

use crate::harness::Api;

const CANCEL: &str = "/api/v1/bulk/cancel";
const RETRY: &str = "/api/v1/bulk/retry";

async fn three(api: &Api) -> Vec<String> {
    let mut ids = Vec::new();
    for tag in ["a", "a", "b"] {
        ids.push(api.launch(&json!({ "jobs": ["log_triage"], "tags": [tag] })).await);
    }
    ids
}

fn outcomes(answer: &Value) -> Vec<(&str, &str)> {
    let runs = answer["runs"].as_array().unwrap();
    runs.iter().map(|run| (run["id"].as_str().unwrap(), run["outcome"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn runs_that_fit_are_cancelled_and_only_they_and_only_once() {
    let Some(api) = Api::start().await else { return };
    let ids = three(&api).await;
    let dry = api.post(CANCEL, Some(&json!({ "tag": "a", "dry_run": true }))).await.json();
    assert_eq!(outcomes(&dry), [(ids[1].as_str(), "matches"), (&ids[0], "matches")]);
    let noted = "select count(*) from runs where cancel_requested_at is not null";
    assert_eq!(api.count(noted).await, 0, "nothing was done");

    let page = api.post(CANCEL, Some(&json!({ "tag": "a", "limit": 1 }))).await.json();
    assert_eq!((&page["matched"], &page["done"], &page["more"]), (&json!(1), &json!(1), &json!(true)));
    // As the scheduler closes it.
    api.execute(
        "update runs set status = 'cancelled', finished_at = now() where cancel_requested_at is not null",
    )
    .await;
    let rest = api.post(CANCEL, Some(&json!({ "tag": "a", "limit": 1 }))).await.json();
    assert_eq!(outcomes(&rest), [(ids[0].as_str(), "cancelled")]);
    assert_eq!(rest["more"], false);
    api.execute(
        "update runs set status = 'cancelled', finished_at = now() where cancel_requested_at is not null",
    )
    .await;
    let none = api.post(CANCEL, Some(&json!({ "tag": "a" }))).await.json();
    assert_eq!((&none["matched"], &none["done"], &none["more"]), (&json!(0), &json!(0), &json!(false)));
    let by_whom = "select count(*) from worker_audit where operation = 'cancel' and actor = 'key:operator'
                       and run_job_id is null";
    assert_eq!(api.count(by_whom).await, 2);
    assert_eq!(api.count(noted).await, 2, "b goes on");
}

#[tokio::test]
async fn failed_runs_are_retried_once_and_one_that_cannot_be_holds_up_no_other() {
    let Some(api) = Api::start().await else { return };
    let ids = three(&api).await;
    api.execute(
        "update run_jobs set status = 'failed', failure = 'nonzero_exit', finished_at = now();
         update runs set status = 'failed', finished_at = now()",
    )
    .await;
    // Of the middle one nothing is left to do.
    sqlx::query("update run_jobs set status = 'success', failure = null where run_id = $1::uuid")
        .bind(&ids[1])
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    let answer =
        api.post(RETRY, Some(&json!({ "requested_by": "operator", "status": "failed" }))).await.json();
    assert_eq!(outcomes(&answer), [(ids[2].as_str(), "retried"), (&ids[1], "refused"), (&ids[0], "retried")]);
    assert_eq!((&answer["matched"], &answer["done"]), (&json!(3), &json!(2)));
    let made = answer["runs"][0]["retried_by"].as_str().unwrap();
    let made = api.get(&format!("/api/v1/runs/{made}")).await.json();
    assert_eq!(made["origin"], json!({ "kind": "retry", "run": ids[2] }));
    assert!(answer["runs"][1]["detail"].as_str().unwrap().contains("nothing of it failed"));
    let again = api.post(RETRY, Some(&json!({ "requested_by": "operator" }))).await.json();
    assert_eq!(outcomes(&again), [(ids[1].as_str(), "refused")], "what was retried is left alone");
    assert_eq!(api.count("select count(*) from runs").await, 5);
}

#[tokio::test]
async fn a_request_without_a_filter_or_with_a_wrong_one_does_nothing() {
    let Some(api) = Api::start().await else { return };
    three(&api).await;
    let stored = api.stored().await;
    for (body, place) in [
        (json!({}), "body "),
        (json!({ "limit": 5, "dry_run": false }), "body "),
        (json!({ "status": "success" }), "body /status"),
        (json!({ "tag": "a", "limit": 501 }), "body /limit"),
        (json!({ "tag": "" }), "body /tag"),
        (json!({ "tag": "a", "all": true }), "body /all"),
    ] {
        for path in [CANCEL, RETRY] {
            let answer = api.post(path, Some(&body)).await;
            assert_eq!((answer.status, answer.places()), (422, vec![place.to_owned()]), "{body}");
        }
    }
    assert_eq!(api.post(CANCEL, Some(&json!({ "status": "failed" }))).await.status, 422);
    assert_eq!(api.post(RETRY, Some(&json!({ "status": "running" }))).await.status, 422);
    assert_eq!(api.stored().await, stored);
}
