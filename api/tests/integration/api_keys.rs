//! Keys over REST: shown once, listed without their secrets, ended for good.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, request};

const PATH: &str = "/api/v1/keys";

async fn admin(api: &Api, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let headers = [("content-type", "application/json")];
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    api.send(request(method, path, Some(&api.admin), &headers, body)).await
}

#[tokio::test]
async fn a_key_is_made_shown_once_used_and_revoked() {
    let Some(api) = Api::start().await else { return };
    let wanted = json!({ "name": "nightly", "scope": "viewer", "expires_at": "2100-01-01T00:00:00Z" });
    let made = admin(&api, "POST", PATH, Some(&wanted)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.headers["cache-control"], "no-store");
    let body = made.json();
    let (key, id) = (body["key"].as_str().unwrap(), body["id"].as_str().unwrap());
    let one = format!("{PATH}/{id}");
    assert_eq!(made.headers["location"], one);
    assert!(key.starts_with(&format!("cb_{}_", body["prefix"].as_str().unwrap())), "{key}");

    let with = async |path: &str| api.send(request("GET", path, Some(key), &[], Body::empty())).await;
    assert_eq!(with("/api/v1/jobs").await.status, 200, "it works");
    assert_eq!(with(PATH).await.status, 403, "for what it is for");
    let secret = &key[12..];
    for path in [PATH, &one] {
        let answer = admin(&api, "GET", path, None).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains(secret) && !answer.text().contains("sha256"), "{}", answer.text());
    }
    let shown = admin(&api, "GET", &one, None).await.json();
    assert_eq!(
        (&shown["name"], &shown["scope"], &shown["revoked_at"]),
        (&json!("nightly"), &json!("viewer"), &Value::Null)
    );
    assert!(shown["last_used_at"].is_string(), "{shown}");

    assert_eq!(admin(&api, "DELETE", &one, None).await.status, 204);
    assert_eq!(with("/api/v1/jobs").await.status, 401);
    assert_eq!(admin(&api, "DELETE", &one, None).await.status, 204, "again");
    let who = "select count(*) from worker_audit where operation = 'change' and actor = 'key:boss'
                   and config_snapshot ->> 'api_key' = 'nightly'";
    assert_eq!(api.count(who).await, 2, "made and revoked, each once");
    let again = admin(&api, "POST", PATH, Some(&wanted)).await;
    assert_eq!((again.status, again.problem()), (409, "conflict".to_owned()), "a name is for good");
}

#[tokio::test]
async fn the_last_admin_key_stays_also_when_two_are_revoked_at_once() {
    let Some(api) = Api::start().await else { return };
    let listed = admin(&api, "GET", PATH, None).await.json();
    let keys = listed["keys"].as_array().unwrap();
    let boss = keys.iter().find(|key| key["name"] == "boss").unwrap()["id"].as_str().unwrap().to_owned();
    let refused = admin(&api, "DELETE", &format!("{PATH}/{boss}"), None).await;
    assert!(refused.status == 409 && refused.text().contains("last admin key"), "{}", refused.text());
    // One that has expired is none.
    let expired = json!({ "name": "old", "scope": "admin", "expires_at": "2001-01-01T00:00:00Z" });
    assert_eq!(admin(&api, "POST", PATH, Some(&expired)).await.status, 201);
    assert_eq!(admin(&api, "DELETE", &format!("{PATH}/{boss}"), None).await.status, 409);
    let second = admin(&api, "POST", PATH, Some(&json!({ "name": "second", "scope": "admin" }))).await.json();
    let (one, other) = (format!("{PATH}/{boss}"), format!("{PATH}/{}", second["id"].as_str().unwrap()));
    let (one, other) = tokio::join!(admin(&api, "DELETE", &one, None), admin(&api, "DELETE", &other, None));
    let valid =
        "select count(*) from api_keys where scope = 'admin' and revoked_at is null and name <> 'old'";
    assert_eq!(api.count(valid).await, 1, "{} {}", one.status, other.status);
}

#[tokio::test]
async fn a_wrong_key_request_makes_none() {
    let Some(api) = Api::start().await else { return };
    let before = api.count("select count(*) from api_keys").await;
    for (body, place) in [
        (json!({ "name": "two words", "scope": "viewer" }), "body /name"),
        (json!({ "name": "", "scope": "viewer" }), "body /name"),
        (json!({ "name": "x", "scope": "root" }), "body /scope"),
        (json!({ "name": "x", "scope": "viewer", "expires_at": "soon" }), "body /expires_at"),
        (json!({ "name": "x", "scope": "viewer", "key": "cb_x" }), "body /key"),
    ] {
        let answer = admin(&api, "POST", PATH, Some(&body)).await;
        assert_eq!((answer.status, answer.places()), (422, vec![place.to_owned()]), "{body}");
    }
    assert_eq!(api.count("select count(*) from api_keys").await, before);
}
