//! Uploads that are not used any more are removed, each once; what a run job needs stays.

use std::{collections::BTreeSet, os::unix::fs::symlink};

use axum::body::Body;
use chrono::TimeDelta;
use cyberbrain_api::{UploadKeeper, UploadStore};
use cyberbrain_common::db::uploads;
use cyberbrain_core::retention::Policy;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::harness::{Answer, Api, MAX_UPLOAD_BYTES, request};

const BY_AGE: Policy = Policy { max_age: Some(TimeDelta::days(90)), max_bytes: None };

fn keeper(api: &Api, policy: Policy) -> UploadKeeper {
    let store = UploadStore::new(api.uploads.path().to_owned(), MAX_UPLOAD_BYTES);
    UploadKeeper::new(api.db.pool(), store, policy)
}

async fn look(api: &Api, policy: Policy) {
    keeper(api, policy).look().await.unwrap();
}

async fn upload(api: &Api, bytes: usize) -> String {
    let body = Body::from(vec![b'x'; bytes]);
    let answer = api.send(request("POST", "/api/v1/uploads?name=x", Some(&api.operator), &[], body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// So many uploads of ten bytes, used so many days ago.
async fn used(api: &Api, days: &[i32]) -> Vec<String> {
    let mut ids = Vec::new();
    for days in days {
        let id = upload(api, 10).await;
        age(api, &id, *days).await;
        ids.push(id);
    }
    ids
}

async fn age(api: &Api, id: &str, days: i32) {
    let aged = "update uploads set used_at = date_trunc('day', now()) - make_interval(days => $2) where id = $1::uuid";
    sqlx::query(aged).bind(id).bind(days).execute(&mut api.db.connect().await).await.unwrap();
}

async fn show(api: &Api, id: &str) -> Answer {
    api.get(&format!("/api/v1/uploads/{id}")).await
}

async fn delete(api: &Api, id: &str) -> Answer {
    let path = format!("/api/v1/uploads/{id}");
    api.send(request("DELETE", &path, Some(&api.operator), &[], Body::empty())).await
}

fn launch(id: &str) -> Value {
    json!({ "run_jobs": [{ "job": "log_triage", "inputs": [id] }] })
}

/// The uploads whose files are there.
fn files(api: &Api) -> BTreeSet<String> {
    let names = std::fs::read_dir(api.uploads.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

async fn removals(api: &Api) -> Vec<Value> {
    let query =
        "select jsonb_build_object('config', config_snapshot, 'actor', actor, 'reason', selection_reason)
        from worker_audit where operation = 'remove' order by config_snapshot ->> 'upload'";
    sqlx::query_scalar(query).fetch_all(&mut api.db.connect().await).await.unwrap()
}

// One thread: the recorder is the thread's own.
#[tokio::test]
async fn by_age_uploads_that_no_run_used_for_long_go_and_are_gone_and_on_record() {
    let Some(api) = Api::start().await else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let ids = used(&api, &[200, 91, 89, 0]).await;
    look(&api, Policy::default()).await;
    assert_eq!(files(&api), set(&ids), "without a bound all is kept");
    look(&api, BY_AGE).await;
    assert_eq!(files(&api), set(&ids[2..]));
    let listed = api.get("/api/v1/uploads").await.json();
    let listed: BTreeSet<String> = listed["uploads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, set(&ids[2..]));
    for id in &ids[..2] {
        let answer = show(&api, id).await;
        assert_eq!((answer.status, answer.problem().as_str()), (410, "gone"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("retention removed it at 2"), "{detail}");
        assert!(detail.ends_with("no run was launched with it for longer than uploads are kept"), "{detail}");
        assert_eq!(delete(&api, id).await.problem(), "gone");
        let refused = api.post("/api/v1/runs", Some(&launch(id))).await;
        assert_eq!((refused.status, refused.places()), (422, vec!["body /run_jobs/0/inputs/0".to_owned()]));
        assert!(refused.text().contains("or none any more"), "{}", refused.text());
    }
    let told = removals(&api).await;
    let configs: Vec<&Value> = told.iter().map(|row| &row["config"]).collect();
    let one = |id| json!({ "upload": id, "cause": "age", "bytes": 10 });
    assert_eq!(configs, [&one(&ids[0]), &one(&ids[1])], "a row for each");
    assert_eq!(told[0]["actor"], "system:api");
    assert_eq!(told[0]["reason"], "no run was launched with it for longer than uploads are kept");
    assert_eq!(delete(&api, &ids[2]).await.status, 204);
    let metrics = metrics.render();
    for line in [
        "cyberbrain_uploads_removed_total{cause=\"age\"} 2",
        "cyberbrain_uploads_removed_bytes_total{cause=\"age\"} 20",
        "cyberbrain_uploads_removed_total{cause=\"deleted\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn by_size_exactly_those_unused_for_longest_go_and_of_one_time_those_that_come_first() {
    let Some(api) = Api::start().await else { return };
    // Ids rise with each: of the three of 20 days, the first two.
    let ids = used(&api, &[5, 20, 20, 20, 40, 3]).await;
    let bytes = |bytes| Policy { max_age: None, max_bytes: Some(bytes) };
    look(&api, bytes(60)).await;
    assert_eq!(files(&api).len(), 6, "to the very byte is kept");
    look(&api, bytes(35)).await;
    let left = [ids[0].clone(), ids[3].clone(), ids[5].clone()];
    assert_eq!(files(&api), set(&left));
    let detail = show(&api, &ids[4]).await.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.ends_with("there was more than is kept, and no run was launched with it for longest"),
        "{detail}"
    );
    assert!(removals(&api).await.iter().all(|row| row["config"]["cause"] == "bytes"));
}

#[tokio::test]
async fn what_a_run_job_needs_stays_until_that_has_ended_whatever_its_age_and_size() {
    let Some(api) = Api::start().await else { return };
    let ids = used(&api, &[400, 300, 200]).await;
    let run = api.launch(&launch(&ids[0])).await;
    let used_at = show(&api, &ids[0]).await.json()["used_at"].clone();
    assert!(
        used_at.as_str().unwrap() > show(&api, &ids[1]).await.json()["created_at"].as_str().unwrap(),
        "used now"
    );
    age(&api, &ids[0], 400).await;
    look(&api, Policy { max_age: None, max_bytes: Some(20) }).await;
    assert_eq!(
        files(&api),
        [ids[0].clone(), ids[2].clone()].into(),
        "it is counted, and another goes for it"
    );
    let all = Policy { max_age: Some(TimeDelta::days(1)), max_bytes: Some(0) };
    look(&api, all).await;
    assert_eq!(files(&api), set(&ids[..1]), "it waits, and its input is there");
    api.execute("update run_jobs set status = 'running', started_at = now()").await;
    look(&api, all).await;
    assert_eq!((files(&api), show(&api, &ids[0]).await.status), (set(&ids[..1]), 200));
    // Its Run is repeated before it ends: the repeat needs it too.
    api.execute("update run_jobs set status = 'failed', failure = 'exit_nonzero', finished_at = now()").await;
    api.execute("update runs set status = 'failed', finished_at = now()").await;
    let retried = api.post(&format!("/api/v1/runs/{run}/retry"), None).await;
    assert_eq!(retried.status, 202, "{}", retried.text());
    age(&api, &ids[0], 400).await;
    look(&api, all).await;
    assert_eq!(files(&api), set(&ids[..1]));
    let retried = retried.json()["id"].as_str().unwrap().to_owned();
    api.post(&format!("/api/v1/runs/{retried}/cancel"), None).await;
    look(&api, all).await;
    assert_eq!((files(&api), show(&api, &ids[0]).await.status), (BTreeSet::new(), 410));
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_by_the_next_look() {
    let Some(api) = Api::start().await else { return };
    let ids = used(&api, &[0, 0, 0]).await;
    // Killed after the commit; one was unlinked already.
    api.execute("update uploads set removed_at = now(), removed_by = 'key:operator'").await;
    std::fs::remove_file(api.uploads.path().join(&ids[0])).unwrap();
    // One can't be unlinked now.
    let stuck = api.uploads.path().join(&ids[1]);
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir(&stuck).unwrap();
    look(&api, Policy::default()).await;
    assert_eq!(files(&api), set(&ids[1..2]));
    assert_eq!(
        api.count("select count(*) from uploads where purged_at is null").await,
        1,
        "it is not said to be gone"
    );
    std::fs::remove_dir(&stuck).unwrap();
    look(&api, Policy::default()).await;
    assert_eq!(api.count("select count(*) from uploads where purged_at is null").await, 0);
    let detail = show(&api, &ids[1]).await.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("key:operator deleted it at 2"), "{detail}");
}

// One thread: the recorder is the thread's own.
#[tokio::test]
async fn several_at_once_remove_each_upload_once() {
    let Some(api) = Api::start().await else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let ids = used(&api, &[100; 20]).await;
    let policy = Policy { max_age: None, max_bytes: Some(100) };
    let keepers: Vec<_> = (0..4).map(|_| keeper(&api, policy)).collect();
    let looks = futures::future::join_all(keepers.iter().map(UploadKeeper::look)).await;
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
    assert_eq!(files(&api), set(&ids[10..]), "and no more than one would");
    assert_eq!(removals(&api).await.len(), 10);
    let metrics = metrics.render();
    assert!(metrics.contains("cyberbrain_uploads_removed_total{cause=\"bytes\"} 10"), "{metrics}");
}

#[tokio::test]
async fn uploads_in_another_directory_are_left_alone() {
    let Some(api) = Api::start().await else { return };
    let ids = used(&api, &[400, 300, 200, 100]).await;
    // An api with a directory of its own: none of these is there, and that says nothing.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = UploadStore::new(elsewhere.path().to_owned(), MAX_UPLOAD_BYTES);
    UploadKeeper::new(api.db.pool(), other, BY_AGE).look().await.unwrap();
    assert_eq!(
        api.count("select count(*) from uploads where removed_at is null and purged_at is null").await,
        4
    );
    // Two are another api's, one of them marked; one was stored before directories had ids.
    sqlx::query("update uploads set root_id = gen_random_uuid() where id = $1::uuid or id = $2::uuid")
        .bind(&ids[0])
        .bind(&ids[1])
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    assert_eq!(delete(&api, &ids[1]).await.status, 204);
    sqlx::query("update uploads set root_id = null where id = $1::uuid")
        .bind(&ids[2])
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
    look(&api, BY_AGE).await;
    assert_eq!(files(&api), set(&ids[..2]));
    assert_eq!(show(&api, &ids[0]).await.status, 200);
    assert_eq!(
        api.count("select count(*) from uploads where removed_at is not null and purged_at is null").await,
        1
    );
    // Nothing is done, and nothing made, where there is no directory.
    let none = api.uploads.path().join("none");
    let keeper = UploadKeeper::new(api.db.pool(), UploadStore::new(none.clone(), 1), BY_AGE);
    keeper.look().await.unwrap();
    assert!(!none.exists());
}

#[tokio::test]
async fn a_link_planted_in_place_of_an_upload_is_removed_and_not_followed() {
    let Some(api) = Api::start().await else { return };
    let ids = used(&api, &[400]).await;
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let planted = api.uploads.path().join(&ids[0]);
    std::fs::remove_file(&planted).unwrap();
    symlink(&precious, &planted).unwrap();
    look(&api, BY_AGE).await;
    assert!(std::fs::symlink_metadata(&planted).is_err());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[tokio::test]
async fn an_upload_that_is_just_being_launched_with_is_left_to_the_next_look() {
    let Some(api) = Api::start().await else { return };
    let id = upload(&api, 10).await;
    let nothing = Policy { max_age: None, max_bytes: Some(0) };
    let mut connection = api.db.connect().await;
    let mut launching = connection.begin().await.unwrap();
    let found = uploads::existing(&mut launching, &[id.parse().unwrap()]).await.unwrap();
    assert_eq!(found.len(), 1);
    look(&api, nothing).await;
    assert_eq!((files(&api).len(), show(&api, &id).await.status), (1, 200));
    launching.rollback().await.unwrap();
    look(&api, nothing).await;
    assert_eq!((files(&api).len(), show(&api, &id).await.status), (0, 410));
}

#[tokio::test]
async fn a_launch_and_a_look_at_once_never_leave_a_job_without_its_input() {
    let Some(api) = Api::start().await else { return };
    let mut outcomes = [0; 2];
    for round in 0..12 {
        let id = upload(&api, 10).await;
        age(&api, &id, 400).await;
        let body = launch(&id);
        let keeper = keeper(&api, BY_AGE);
        let (launched, looked) = tokio::join!(api.post("/api/v1/runs", Some(&body)), keeper.look());
        looked.unwrap();
        let there = files(&api).contains(&id);
        assert!(
            matches!((launched.status, there), (202, true) | (422, false)),
            "round {round}: {} and {there}",
            launched.status
        );
        outcomes[usize::from(there)] += 1;
    }
    println!("{} launches were first, {} looks", outcomes[1], outcomes[0]);
}
