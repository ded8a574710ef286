//! The two allowlists: what they let through, who may change them, and what a stale change does.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, request};

const IMAGES: &str = "/api/v1/allowlist/images";
const CONTAINERS: &str = "/api/v1/allowlist/containers";

fn pin() -> String {
    format!("sha256:{}", "0f".repeat(32))
}

async fn post(api: &Api, path: &str, body: &Value) -> Answer {
    api.change("POST", path, &api.admin, None, Some(body)).await
}

async fn patch(api: &Api, path: &str, version: &str, body: Value) -> Answer {
    api.change("PATCH", path, &api.admin, Some(version), Some(&body)).await
}

async fn delete(api: &Api, path: &str, version: &str) -> Answer {
    api.change("DELETE", path, &api.admin, Some(version), None).await
}

/// What the audit trail says of changes of a list, oldest first: who and which.
async fn told(api: &Api, list: &'static str) -> Vec<(String, String)> {
    sqlx::query_as(
        "select actor, config_snapshot ->> $1 from worker_audit where config_snapshot ? $1 order by at, id",
    )
    .bind(list)
    .fetch_all(&mut api.db.connect().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_launch_with_a_deactivated_image_is_refused_and_works_again_after_it_is_reactivated() {
    let Some(api) = Api::start().await else { return };
    let job = json!({ "job": "embed", "name": "Embed", "spec": { "image": "registry.local/embed:1.4" } });
    assert_eq!(api.make("/api/v1/jobs", Some(&job)).await.status, 201);
    let launch = json!({ "jobs": ["embed"] });
    assert_eq!(api.post("/api/v1/runs", Some(&launch)).await.status, 422, "it is not on the list");
    let body = json!({ "image": "registry.local/embed:1.4", "pin": pin(), "min_vram_mib": 6000 });
    let added = post(&api, IMAGES, &body).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let path = added.headers["location"].clone();
    assert_eq!(api.get(&path).await.json(), added.json());
    api.launch(&launch).await;
    let asked = "select count(*) from run_jobs where spec #>> '{gpu,min_vram_mib}' = '6000'";
    assert_eq!(api.count(asked).await, 1, "what the image needs is applied");

    let off = patch(&api, &path, &added.headers["etag"], json!({ "active": false })).await;
    assert_eq!((off.status, &off.json()["active"]), (200, &json!(false)), "{}", off.text());
    let before = api.stored().await;
    let refused = api.post("/api/v1/runs", Some(&launch)).await;
    assert_eq!((refused.status, refused.places()), (422, vec!["body /jobs/0".to_owned()]));
    assert!(refused.text().contains("allowlist"), "{}", refused.text());
    assert_eq!(api.stored().await, before);
    let on = patch(&api, &path, &off.headers["etag"], json!({ "active": true, "min_vram_mib": null })).await;
    assert_eq!((on.status, &on.json()["min_vram_mib"]), (200, &json!(null)));
    api.launch(&launch).await;
    assert_eq!(delete(&api, &path, &on.headers["etag"]).await.status, 204);
    assert_eq!(api.post("/api/v1/runs", Some(&launch)).await.status, 422, "and off the list again");
    let changes = told(&api, "worker_image_allowlist").await;
    let by_boss = |change: &str| ("key:boss".to_owned(), change.to_owned());
    assert_eq!(changes, ["added", "edited", "edited", "removed"].map(by_boss));
}

#[tokio::test]
async fn a_change_of_an_image_is_for_the_version_that_was_seen() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "image": "a:1", "pin": pin() });
    let first = post(&api, IMAGES, &body).await;
    assert_eq!(post(&api, IMAGES, &body).await.problem(), "conflict", "it is there");
    let path = first.headers["location"].clone();
    let tag = first.headers["etag"].clone();
    let (a, b) = tokio::join!(
        patch(&api, &path, &tag, json!({ "description": "a" })),
        patch(&api, &path, &tag, json!({ "description": "b" })),
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "exactly one wins");
    let before = api.stored().await;
    assert_eq!(delete(&api, &path, &tag).await.problem(), "precondition-failed");
    let none = api.change("DELETE", &path, &api.admin, None, None).await;
    assert_eq!((none.status, none.problem().as_str()), (428, "precondition-required"));
    let headers = [("if-none-match", tag.as_str())];
    let seen = api.send(request("GET", &path, Some(&api.viewer), &headers, Body::empty())).await;
    assert_eq!(seen.status, 200, "it was changed");
    let headers = [("if-none-match", seen.headers["etag"].as_str())];
    let again = api.send(request("GET", &path, Some(&api.viewer), &headers, Body::empty())).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(api.stored().await, before);
    // The same name anew is another row with another version.
    assert_eq!(delete(&api, &path, "*").await.status, 204);
    let anew = post(&api, IMAGES, &body).await;
    assert_ne!((&anew.headers["location"], &anew.headers["etag"]), (&path, &tag));
    assert_eq!(api.get(&path).await.problem(), "not-found");
}

#[tokio::test]
async fn the_built_in_image_can_be_switched_off_and_not_taken_away() {
    let Some(api) = Api::start().await else { return };
    let listed = api.get(IMAGES).await.json();
    assert_eq!(
        (&listed["images"][0]["image"], &listed["images"][0]["builtin"], &listed["next_cursor"]),
        (&json!("cyberbrain-worker:builtin"), &json!(true), &json!(null))
    );
    let path = format!("{IMAGES}/{}", listed["images"][0]["id"].as_str().unwrap());
    let refused = delete(&api, &path, "\"1\"").await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"));
    assert_eq!(patch(&api, &path, "\"1\"", json!({ "pin": pin() })).await.places(), ["body /pin"]);
    let off = patch(&api, &path, "\"1\"", json!({ "active": false })).await;
    assert_eq!(off.status, 200);
    assert_eq!(api.post("/api/v1/runs", Some(&json!({ "jobs": ["gpu_report"] }))).await.status, 422);
    assert_eq!(api.get(&format!("{IMAGES}?active=true")).await.json()["images"], json!([]));
    assert_eq!(patch(&api, &path, &off.headers["etag"], json!({ "active": true })).await.status, 200);
    api.launch(&json!({ "jobs": ["gpu_report"] })).await;
}

#[tokio::test]
async fn an_entry_of_the_container_allowlist_is_made_changed_and_removed() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "container_id": "web", "description": "the shop", "tags": ["shop"] });
    let added = post(&api, CONTAINERS, &body).await;
    assert_eq!((added.status, added.headers["location"].as_str()), (201, "/api/v1/allowlist/containers/web"));
    let entry = added.json();
    assert_eq!((&entry["host"], &entry["enabled"]), (&json!("*"), &json!(true)));
    assert_eq!(post(&api, CONTAINERS, &body).await.problem(), "conflict");
    let path = format!("{CONTAINERS}/web");
    let tag = added.headers["etag"].clone();
    let change = json!({ "enabled": false, "host": "box", "container_name": "web-1" });
    let edited = patch(&api, &path, &tag, change.clone()).await;
    assert_eq!(
        (edited.status, &edited.json()["description"]),
        (200, &json!("the shop")),
        "{}",
        edited.text()
    );
    let same = patch(&api, &path, &edited.headers["etag"], change).await;
    assert_eq!(same.headers["etag"], edited.headers["etag"], "nothing changed, no version");
    let before = api.stored().await;
    assert_eq!(patch(&api, &path, &tag, json!({ "enabled": true })).await.problem(), "precondition-failed");
    assert_eq!(delete(&api, &path, &tag).await.problem(), "precondition-failed");
    assert_eq!(api.change("DELETE", &path, &api.admin, None, None).await.status, 428);
    assert_eq!(api.get(&path).await.json(), edited.json());
    assert_eq!(api.stored().await, before);
    assert_eq!(delete(&api, &path, &edited.headers["etag"]).await.status, 204);
    assert_eq!(api.get(&path).await.problem(), "not-found");
    let anew = post(&api, CONTAINERS, &body).await;
    assert_ne!(anew.headers["etag"], tag, "an old tag never fits");
    let changes = told(&api, "container_allowlist").await;
    let by_boss = |change: &str| ("key:boss".to_owned(), change.to_owned());
    assert_eq!(changes, ["added", "edited", "removed", "added"].map(by_boss));
}

#[tokio::test]
async fn of_two_changes_of_an_entry_at_once_exactly_one_wins() {
    let Some(api) = Api::start().await else { return };
    let added = post(&api, CONTAINERS, &json!({ "container_id": "web" })).await;
    let (path, tag) = (added.headers["location"].clone(), added.headers["etag"].clone());
    let (a, b) =
        tokio::join!(patch(&api, &path, &tag, json!({ "enabled": false })), delete(&api, &path, &tag));
    assert!(matches!((a.status, b.status), (200, 412) | (404, 204)), "{} {}", a.text(), b.text());
}

#[tokio::test]
async fn both_lists_come_in_pages_and_filter() {
    let Some(api) = Api::start().await else { return };
    for name in ["c", "a", "b", "d.1", "e_2"] {
        assert_eq!(post(&api, CONTAINERS, &json!({ "container_id": name })).await.status, 201, "{name}");
        let image = json!({ "image": format!("{name}:1"), "pin": format!("repo/x@{}", pin()) });
        post(&api, IMAGES, &image).await;
    }
    patch(&api, &format!("{CONTAINERS}/b"), "*", json!({ "enabled": false })).await;
    for (path, list, key, expected) in [
        (CONTAINERS, "containers", "container_id", vec!["a", "b", "c", "d.1", "e_2"]),
        (IMAGES, "images", "image", vec!["cyberbrain-worker:builtin", "c:1", "a:1", "b:1", "d.1:1", "e_2:1"]),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("{path}?limit=2{cursor}")).await.json();
            seen.extend(page[list].as_array().unwrap().iter().map(|row| row[key].clone()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected, "{path}");
    }
    let off = api.get(&format!("{CONTAINERS}?enabled=false")).await.json();
    assert_eq!(
        (off["containers"].as_array().unwrap().len(), &off["containers"][0]["container_id"]),
        (1, &json!("b"))
    );
    for query in ["?enabled=1", "?cursor=x", "?limit=501", "?active=true"] {
        assert_eq!(api.get(&format!("{CONTAINERS}{query}")).await.problem(), "invalid-query", "{query}");
    }
}

#[tokio::test]
async fn a_wrong_entry_says_where_and_stores_nothing() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let image = |change: Value| {
        let mut body = json!({ "image": "a:1", "pin": pin() });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        (IMAGES, body)
    };
    let container = |change: Value| {
        let mut body = json!({ "container_id": "web" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        (CONTAINERS, body)
    };
    let long = "x".repeat(1_001);
    let cases: Vec<((&str, Value), &[&str])> = vec![
        (image(json!({ "image": "a", "pin": "latest" })), &["body /image", "body /pin"]),
        (image(json!({ "pin": pin().to_uppercase() })), &["body /pin"]),
        (image(json!({ "pin": format!("a b@{}", pin()) })), &["body /pin"]),
        (image(json!({ "pin": "sha256:0" })), &["body /pin"]),
        (
            image(json!({ "description": long, "min_vram_mib": 0 })),
            &["body /description", "body /min_vram_mib"],
        ),
        (image(json!({ "builtin": true })), &["body "]),
        (container(json!({ "container_id": "../etc" })), &["body /container_id"]),
        (container(json!({ "container_id": "a\0" })), &["body /container_id"]),
        (container(json!({ "host": "" })), &["body /host"]),
        (container(json!({ "host": "-x" })), &["body /host"]),
        (
            container(json!({ "container_name": "a\nb", "description": "\0" })),
            &["body /container_name", "body /description"],
        ),
        (container(json!({ "tags": ["ok", "\0"] })), &["body /tags/1"]),
        (container(json!({ "tags": vec!["x"; 33] })), &["body /tags"]),
    ];
    for ((path, body), places) in cases {
        let answer = post(&api, path, &body).await;
        let shown: String = body.to_string().chars().take(120).collect();
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"), "{shown}");
        let given = answer.places();
        assert!(
            given.len() == places.len()
                && places.iter().all(|place| given.iter().any(|given| given.starts_with(place))),
            "{shown}: {given:?}"
        );
    }
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn only_admins_change_the_lists() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "container_id": "web" });
    let image = json!({ "image": "a:1", "pin": pin() });
    for key in [&api.viewer, &api.operator] {
        for (path, body) in [(CONTAINERS, &body), (IMAGES, &image)] {
            let answer = api.change("POST", path, key, None, Some(body)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{path}");
            assert!(answer.text().contains("admin"), "{}", answer.text());
        }
    }
    assert_eq!(api.count("select count(*) from container_allowlist").await, 0);
    assert_eq!(api.count("select count(*) from worker_image_allowlist").await, 1);
}
