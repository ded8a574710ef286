//! Keys and scopes, route by route from the table.

use axum::body::Body;
use cyberbrain_api::{Access, Route, routes};
use cyberbrain_common::keys::{self, KeyText, NewKey, Scope};
use cyberbrain_core::audit::Actor;

use crate::harness::{Answer, Api, request};

async fn call(api: &Api, route: &Route, authorization: Option<&str>) -> Answer {
    let path = route.path.replace("{id}", "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00").replace("{name}", "nobody");
    // Streams that have no end refuse it; nobody else looks at it.
    let mut headers = vec![("last-event-id", "none")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    api.send(request(route.method.as_str(), &path, None, &headers, Body::empty())).await
}

#[tokio::test]
async fn without_a_valid_key_nothing_but_the_open_routes_answers() {
    let Some(api) = Api::start().await else { return };
    let mut connection = api.db.connect().await;
    let mut make = async |name: &str| {
        let key = NewKey { name: name.parse().unwrap(), scope: Scope::Admin, expires_at: None };
        keys::create(&mut connection, &key, &Actor::System("test")).await.unwrap().expose()
    };
    let (expired, revoked) = (make("expired").await, make("revoked").await);
    api.execute("update api_keys set expires_at = now() where name = 'expired'").await;
    keys::revoke(&mut connection, &"revoked".parse().unwrap(), &Actor::System("test")).await.unwrap();
    // The right prefix with another secret.
    let other = KeyText::generate().expose();
    let wrong_secret = format!("{}{}", &api.admin[..12], &other[12..]);
    let before = api.stored().await;
    let attempts: Vec<(&str, Option<String>, &str)> = vec![
        ("no key", None, "send the header"),
        ("an unknown key", Some(format!("Bearer {other}")), "not known"),
        ("a wrong secret", Some(format!("Bearer {wrong_secret}")), "not known"),
        ("half a key", Some(format!("Bearer {}", &api.admin[..30])), "form"),
        ("no key after Bearer", Some("Bearer ".into()), "form"),
        ("another scheme", Some(format!("Basic {}", api.admin)), "send the header"),
        ("a key without scheme", Some(api.admin.clone()), "send the header"),
        ("an expired key", Some(format!("Bearer {expired}")), "expired"),
        ("a revoked key", Some(format!("Bearer {revoked}")), "revoked"),
    ];
    let mut guarded = 0;
    for route in routes() {
        for (name, authorization, told) in &attempts {
            let answer = call(&api, route, authorization.as_deref()).await;
            match route.access {
                Access::Open => assert_ne!(answer.status, 401, "{route:?} with {name}"),
                Access::Page => {
                    let place = (answer.status, answer.headers["location"].as_str());
                    assert_eq!(place, (303, "/login"), "{route:?} with {name}");
                }
                Access::Scope(_) => {
                    assert_eq!(
                        (answer.status, answer.problem().as_str()),
                        (401, "unauthorized"),
                        "{route:?} {name}"
                    );
                    assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{route:?} {name}");
                    let detail = answer.json()["detail"].to_string();
                    assert!(detail.contains(told), "{route:?} with {name}: {detail}");
                    guarded += 1;
                }
            }
        }
    }
    assert!(guarded >= 12 * attempts.len(), "only {guarded} guarded calls: is the table empty?");
    let open: Vec<&str> =
        routes().filter(|route| route.access == Access::Open).map(|route| route.path).collect();
    let assets = ["/assets/app.css", "/assets/app.js", "/assets/icon.svg"];
    let service = ["/healthz", "/readyz"];
    let documents = ["/api/docs", "/api/v1/openapi.json", "/api/v1/schemas/report.json", "/problems/{slug}"];
    assert_eq!(open, [&["/login", "/login"][..], &assets, &service, &documents].concat());
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn each_scope_does_what_the_table_says_and_no_more() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let holders =
        [(Scope::Viewer, &api.viewer), (Scope::Operator, &api.operator), (Scope::Admin, &api.admin)];
    for route in routes() {
        let Access::Scope(needed) = route.access else { continue };
        for (scope, key) in holders {
            let answer = call(&api, route, Some(&format!("bearer {key}"))).await;
            if scope >= needed {
                assert!(![401, 403].contains(&answer.status), "{route:?} as {scope}: {}", answer.status);
            } else {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (403, "forbidden"),
                    "{route:?} as {scope}"
                );
                assert!(answer.text().contains(needed.as_str()), "{route:?}: it says what is needed");
            }
        }
    }
    assert_eq!(api.stored().await, before, "an empty POST stores nothing");
}

#[tokio::test]
async fn nobody_without_a_key_makes_us_read_a_body() {
    let Some(api) = Api::start().await else { return };
    // A body that is never complete: whoever reads it waits for ever.
    let endless = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let headers = [("content-type", "application/json")];
    let send = api.send(request("POST", "/api/v1/runs", None, &headers, endless));
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), send).await.expect("it was read");
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn the_last_use_is_written_down_but_not_each_time() {
    let Some(api) = Api::start().await else { return };
    assert_eq!(api.count("select count(*) from api_keys where last_used_at is not null").await, 0);
    api.get("/api/v1/jobs").await;
    assert_eq!(api.count("select count(*) from api_keys where last_used_at is not null").await, 1);
    api.execute("update api_keys set last_used_at = now() - interval '30 seconds' where name = 'viewer'")
        .await;
    api.get("/api/v1/jobs").await;
    let fresh = "select count(*) from api_keys where last_used_at > now() - interval '20 seconds'";
    assert_eq!(api.count(fresh).await, 0, "a use half a minute later is no news");
    api.execute("update api_keys set last_used_at = now() - interval '2 minutes' where name = 'viewer'")
        .await;
    api.get("/api/v1/jobs").await;
    assert_eq!(api.count(fresh).await, 1);
}
