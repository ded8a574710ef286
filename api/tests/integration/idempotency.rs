//! The same key twice makes one Run.

use cyberbrain_common::db::idempotency::{Slot, lock};
use futures::future::join_all;
use serde_json::json;
use sqlx::Connection as _;

use crate::harness::Api;

const KEY: (&str, &str) = ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324");

#[tokio::test]
async fn the_same_key_twice_makes_one_run() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "jobs": ["log_triage"], "params": { "a": 1, "b": 2 } });
    let first = api.post_with("/api/v1/runs", Some(&body), &[KEY]).await;
    assert_eq!(first.status, 202);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let stored = api.stored().await;
    // White space, the order of keys and spelled-out defaults are the same request.
    let same = json!({ "params": { "b": 2, "a": 1 }, "jobs": ["log_triage"], "priority": 0, "tags": [] });
    for again in [&body, &same] {
        let second = api.post_with("/api/v1/runs", Some(again), &[KEY]).await;
        assert_eq!(second.status, 202);
        assert_eq!(second.headers["idempotency-replayed"], "true");
        assert_eq!(second.json()["id"], first.json()["id"]);
        assert_eq!(second.headers["location"], first.headers["location"]);
    }
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let Some(api) = Api::start().await else { return };
    let sent = async |body| api.post_with("/api/v1/runs", Some(&body), &[KEY]).await;
    assert_eq!(sent(json!({ "jobs": ["log_triage"] })).await.status, 202);
    let stored = api.stored().await;
    let refused = sent(json!({ "jobs": ["log_triage"], "priority": 1 })).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency-key-reused"));
    assert_eq!(refused.places(), ["header /Idempotency-Key"]);
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn twenty_at_once_make_one_run() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "jobs": vec!["log_triage"; 50] });
    let answers = join_all((0..20).map(|_| api.post_with("/api/v1/runs", Some(&body), &[KEY]))).await;
    let mut ids: Vec<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 202, "{}", answer.text());
            answer.json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let replayed =
        answers.iter().filter(|answer| answer.headers.contains_key("idempotency-replayed")).count();
    assert_eq!(replayed, 19);
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let [runs, run_jobs, _, _, keys] = api.stored().await;
    assert_eq!((runs, run_jobs, keys), (1, 50, 1));
}

#[tokio::test]
async fn a_call_that_is_still_at_work_is_told_of_after_a_while() {
    let Some(api) = Api::start().await else { return };
    let mut connection = api.db.connect().await;
    let mut at_work = connection.begin().await.unwrap();
    let slot = Slot { principal: "key:operator", route: "POST /api/v1/runs", key: KEY.1 };
    lock(&mut at_work, slot).await.unwrap();
    let stored = api.stored().await;
    let body = json!({ "jobs": ["log_triage"] });
    let answer = api.post_with("/api/v1/runs", Some(&body), &[KEY]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "idempotency-key-in-use"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(api.stored().await, stored);
    at_work.rollback().await.unwrap();
    assert_eq!(api.post_with("/api/v1/runs", Some(&body), &[KEY]).await.status, 202);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let Some(api) = Api::start().await else { return };
    let wrong = api.post_with("/api/v1/runs", Some(&json!({ "jobs": ["nope"] })), &[KEY]).await;
    assert_eq!(wrong.status, 422);
    let right = api.post_with("/api/v1/runs", Some(&json!({ "jobs": ["log_triage"] })), &[KEY]).await;
    assert_eq!(right.status, 202, "{}", right.text());
}

#[tokio::test]
async fn a_key_belongs_to_its_holder_and_ends_after_a_day() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "jobs": ["log_triage"] });
    let first = api.post_with("/api/v1/runs", Some(&body), &[KEY]).await.json()["id"].clone();
    let headers = [KEY, ("content-type", "application/json")];
    let by_admin =
        crate::harness::request("POST", "/api/v1/runs", Some(&api.admin), &headers, body.to_string().into());
    let other = api.send(by_admin).await.json()["id"].clone();
    assert_ne!(first, other, "two holders may choose the same key");
    api.execute("update idempotency_keys set created_at = now() - interval '23 hours'").await;
    assert_eq!(api.post_with("/api/v1/runs", Some(&body), &[KEY]).await.json()["id"], first);
    api.execute("update idempotency_keys set created_at = now() - interval '25 hours'").await;
    let later = api.post_with("/api/v1/runs", Some(&json!({ "jobs": ["gpu_report"] })), &[KEY]).await;
    assert_eq!(later.status, 202);
    assert_ne!(later.json()["id"], first);
    assert_eq!(api.count("select count(*) from idempotency_keys").await, 2);
}

#[tokio::test]
async fn a_replay_answers_also_when_the_library_has_changed() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "jobs": ["log_triage"] });
    let first = api.post_with("/api/v1/runs", Some(&body), &[KEY]).await;
    api.execute("update jobs set active = false").await;
    let second = api.post_with("/api/v1/runs", Some(&body), &[KEY]).await;
    assert_eq!((second.status, &second.json()["id"]), (202, &first.json()["id"]));
}
