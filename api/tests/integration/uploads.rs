//! Uploads: what is kept, what is refused, and that nothing else is left behind.

use std::{collections::BTreeSet, io, time::Duration};

use axum::body::Body;
use cyberbrain_common::file_root;
use cyberbrain_testkit::wait_until;
use futures::{StreamExt as _, stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{Answer, Api, MAX_UPLOAD_BYTES, request};

const PATIENCE: Duration = Duration::from_secs(20);

async fn upload(api: &Api, query: &str, body: impl Into<Body>) -> Answer {
    let path = format!("/api/v1/uploads{query}");
    api.send(request("POST", &path, Some(&api.operator), &[("content-type", "text/csv")], body.into())).await
}

/// Names of all files below the uploads root, but for its mark.
fn files(api: &Api) -> BTreeSet<String> {
    let entries = std::fs::read_dir(api.uploads.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !file_root::is_mark(name)).collect()
}

#[tokio::test]
async fn an_upload_is_kept_under_its_id_and_can_be_an_input() {
    let Some(api) = Api::start().await else { return };
    let bytes: Vec<u8> = (0..400_000_u32).map(|n| (n % 7) as u8).collect();
    let chunks: Vec<io::Result<Vec<u8>>> = bytes.chunks(7_777).map(|chunk| Ok(chunk.to_vec())).collect();
    let answer = upload(&api, "?name=acc%C3%A8s%20log.csv", Body::from_stream(stream::iter(chunks))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let stored = answer.json();
    let id = stored["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["location"], format!("/api/v1/uploads/{id}"));
    assert_eq!(stored["name"], "accès log.csv");
    assert_eq!((&stored["size_bytes"], &stored["mime_type"]), (&json!(400_000), &json!("text/csv")));
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&stored["sha256"], &stored["uploaded_by"]), (&json!(hex), &json!("key:operator")));
    assert_eq!(files(&api), [id.clone()].into());
    assert!(std::fs::read(api.uploads.path().join(&id)).unwrap() == bytes);
    assert_eq!(
        api.count("select count(*) from uploads where path = id::text").await,
        1,
        "as launchers look for it"
    );

    assert_eq!(api.get(&format!("/api/v1/uploads/{id}")).await.json(), stored);
    let empty = upload(&api, "?name=empty", Body::empty()).await;
    assert_eq!((empty.status, &empty.json()["size_bytes"]), (201, &json!(0)));
    let page = api.get("/api/v1/uploads?limit=1").await.json();
    assert_eq!(page["uploads"][0]["name"], "empty", "newest first");
    let next = page["next_cursor"].as_str().unwrap();
    let page = api.get(&format!("/api/v1/uploads?limit=1&cursor={next}")).await.json();
    assert_eq!((&page["uploads"], &page["next_cursor"]), (&json!([stored]), &json!(null)));

    let run = api.launch(&json!({ "run_jobs": [{ "job": "log_triage", "inputs": [id] }] })).await;
    let path = format!("/api/v1/uploads/{id}");
    let delete = async |key: &str| api.send(request("DELETE", &path, Some(key), &[], Body::empty())).await;
    let refused = delete(&api.operator).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("run job"), "{}", refused.text());
    api.post(&format!("/api/v1/runs/{run}/cancel"), None).await;
    assert_eq!(delete(&api.viewer).await.status, 403);
    assert_eq!(delete(&api.operator).await.status, 204);
    let again = delete(&api.operator).await;
    assert_eq!((again.status, again.problem().as_str()), (410, "gone"));
    let shown = api.get(&path).await;
    assert_eq!((shown.status, shown.problem().as_str()), (410, "gone"));
    assert!(
        shown.json()["detail"].as_str().unwrap().starts_with("key:operator deleted it at 2"),
        "{}",
        shown.text()
    );
    let unknown = "/api/v1/uploads/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00";
    assert_eq!(api.get(unknown).await.problem(), "not-found");
    let unknown = api.send(request("DELETE", unknown, Some(&api.operator), &[], Body::empty())).await;
    assert_eq!(unknown.problem(), "not-found");
    assert_eq!(files(&api).len(), 1, "the other one stays");
    let told = "select count(*) from worker_audit where operation = 'change' and actor = 'key:operator'
        and config_snapshot ->> 'upload' is not null";
    assert_eq!(api.count(told).await, 3, "two stored, one deleted");
    let launched = json!({ "run_jobs": [{ "job": "log_triage", "inputs": [id] }] });
    assert_eq!(api.post("/api/v1/runs", Some(&launched)).await.problem(), "invalid-request");
}

#[tokio::test]
async fn names_are_text_and_lead_nowhere() {
    let Some(api) = Api::start().await else { return };
    let long = format!("?name={}", "x".repeat(256));
    for query in [
        "",
        "?name=",
        "?name=.",
        "?name=..",
        "?name=/etc/passwd",
        "?name=..%2F..%2Fx",
        "?name=a%2Fb",
        "?name=a%00b",
        "?name=a%0Ab",
        "?name=%C2%85",
        "?name=a&name=b",
        "?name=a&path=x",
        &long,
    ] {
        let answer = upload(&api, query, "x").await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"), "{query}");
    }
    assert_eq!(files(&api), BTreeSet::new());
    // What is no UTF-8 is read as a replacement character, which is text as well.
    for name in [
        "%FF",
        "%252e%252e%252fx",
        "..%5C..%5Cx",
        "%E2%80%AEgpj.exe",
        "%EF%BC%8E%EF%BC%8E%EF%BC%8Fx",
        "...",
        "-rf",
        "CON",
    ] {
        let answer = upload(&api, &format!("?name={name}"), "x").await;
        assert_eq!(answer.status, 201, "{name}");
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert!(files(&api).contains(&id), "{name} is kept under its id");
    }
    assert_eq!(files(&api).len(), 8);
    let above = api.uploads.path().parent().unwrap();
    for escaped in ["x", "passwd", "-rf", "CON", "%2e%2e%2fx"] {
        assert!(!above.join(escaped).exists(), "{escaped} lies beside the uploads root");
    }
}

#[tokio::test]
async fn what_is_too_large_or_breaks_off_leaves_nothing() {
    let Some(api) = Api::start().await else { return };
    let most = MAX_UPLOAD_BYTES as usize;
    // A body that is never read: its length alone is too much.
    let endless = Body::from_stream(stream::pending::<io::Result<Vec<u8>>>());
    let length = (MAX_UPLOAD_BYTES + 1).to_string();
    let announced = request(
        "POST",
        "/api/v1/uploads?name=x",
        Some(&api.operator),
        &[("content-length", &length)],
        endless,
    );
    let answer = tokio::time::timeout(PATIENCE, api.send(announced)).await.expect("it is not read");
    assert_eq!((answer.status, answer.problem().as_str()), (413, "payload-too-large"));
    let unannounced = stream::iter((0..2).map(move |_| io::Result::Ok(vec![0_u8; most / 2 + 1])));
    assert_eq!(upload(&api, "?name=x", Body::from_stream(unannounced)).await.problem(), "payload-too-large");
    let broken = stream::iter([Ok(vec![1_u8; 1_000]), Err(io::Error::other("gone"))]);
    let answer = upload(&api, "?name=x", Body::from_stream(broken)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"));
    assert_eq!(files(&api), BTreeSet::new());

    // A client that goes away: its request is dropped half-way.
    let half = stream::iter([Ok(vec![1_u8; 1_000])]).chain(stream::pending::<io::Result<Vec<u8>>>());
    {
        let mut sent = Box::pin(upload(&api, "?name=x", Body::from_stream(half)));
        let coming_in = wait_until("the file to come in", PATIENCE, async || files(&api).len() == 1);
        tokio::select! {
            answer = &mut sent => panic!("{answer:?}"),
            () = coming_in => {}
        }
        assert!(files(&api).iter().all(|name| name.starts_with(".partial-")), "it is no upload yet");
    }
    wait_until("the half to be removed", PATIENCE, async || files(&api).is_empty()).await;
    assert_eq!(api.count("select count(*) from uploads").await, 0);
    let exact = upload(&api, "?name=x", vec![0; most]).await;
    assert_eq!((exact.status, files(&api).len()), (201, 1));
}

#[tokio::test]
async fn an_upload_without_its_row_is_no_upload() {
    let Some(api) = Api::start().await else { return };
    api.execute("alter table uploads add constraint never check (false)").await;
    let answer = upload(&api, "?name=x", "bytes").await;
    assert_eq!(answer.problem(), "internal");
    assert_eq!(files(&api), BTreeSet::new());
}

#[tokio::test]
async fn a_launch_and_a_deletion_at_once_never_leave_a_job_without_its_input() {
    let Some(api) = Api::start().await else { return };
    for round in 0..8 {
        let answer = upload(&api, "?name=x", "bytes").await;
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let body = json!({ "run_jobs": [{ "job": "log_triage", "inputs": [id] }] });
        let path = format!("/api/v1/uploads/{id}");
        let (launched, deleted) = tokio::join!(
            api.post("/api/v1/runs", Some(&body)),
            api.send(request("DELETE", &path, Some(&api.operator), &[], Body::empty())),
        );
        assert!(
            matches!((launched.status, deleted.status), (202, 409) | (422, 204)),
            "round {round}: {} and {}",
            launched.status,
            deleted.status
        );
    }
}
