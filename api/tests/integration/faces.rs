//! What is open to everybody: the page of documentation.

use axum::body::Body;
use cyberbrain_api::{Access, Kind, routes};

use crate::harness::{Answer, Api, request};

async fn open(api: &Api, path: &str) -> Answer {
    api.send(request("GET", path, None, &[], Body::empty())).await
}

#[tokio::test]
async fn the_page_lists_every_route_and_every_problem() {
    let Some(api) = Api::start().await else { return };
    let page = open(&api, "/api/docs").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    for route in routes() {
        let line = format!("<h3>{} {}</h3>", route.method.as_str(), route.path);
        assert!(html.contains(&line), "{line}");
        for parameter in route.query {
            assert!(html.contains(&format!("<td>{}</td>", parameter.name)), "{}", parameter.name);
        }
    }
    for kind in Kind::ALL {
        assert!(html.contains(&format!("id=\"problem-{}\"", kind.slug())), "{kind:?}");
        let leads = open(&api, &format!("/problems/{}", kind.slug())).await;
        assert_eq!(leads.headers["location"], format!("/api/docs#problem-{}", kind.slug()));
    }
    assert_eq!(open(&api, "/problems/none").await.problem(), "not-found");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!html.contains("http://") || !html.contains("src="), "nothing is loaded from elsewhere");
    assert!(!html.contains(&api.admin));
}

#[tokio::test]
async fn no_page_of_another_origin_is_let_in() {
    let Some(api) = Api::start().await else { return };
    let origin = ("origin", "https://elsewhere.example");
    let asks = ("access-control-request-method", "POST");
    for (method, path, key, headers) in [
        ("OPTIONS", "/api/v1/runs", None, &[origin, asks][..]),
        ("OPTIONS", "/api/v1/runs", Some(&api.admin), &[origin, asks][..]),
        ("GET", "/api/v1/runs", Some(&api.viewer), &[origin][..]),
        ("GET", "/api/v1/openapi.json", Some(&api.viewer), &[origin][..]),
        ("GET", "/healthz", None, &[origin][..]),
        ("GET", "/login", None, &[origin][..]),
    ] {
        let answer = api.send(request(method, path, key.map(String::as_str), headers, Body::empty())).await;
        let told: Vec<&String> =
            answer.headers.keys().filter(|name| name.starts_with("access-control-")).collect();
        assert!(told.is_empty(), "{method} {path}: {told:?}");
        assert!(method != "OPTIONS" || answer.status >= 400, "{method} {path}: {}", answer.status);
    }
}

#[test]
fn the_manual_names_every_route_and_every_problem() {
    let manual = include_str!("../../../docs/API.md");
    for route in routes() {
        let scope = match route.access {
            Access::Open => "open",
            Access::Scope(scope) => scope.as_str(),
            Access::Page => "page",
        };
        let row = format!("| `{} {}` | {scope} |", route.method.as_str(), route.path);
        assert!(manual.contains(&row), "{row}");
        for parameter in route.query {
            assert!(manual.contains(&format!("`{}`", parameter.name)), "{}", parameter.name);
        }
    }
    for kind in Kind::ALL {
        assert!(manual.contains(&format!("`/problems/{}`", kind.slug())), "{kind:?}");
    }
}

#[test]
fn slugs_of_problems_are_unique_words() {
    let mut slugs: Vec<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
    for slug in &slugs {
        assert!(slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{slug}");
    }
    slugs.sort_unstable();
    let count = slugs.len();
    slugs.dedup();
    assert_eq!(slugs.len(), count);
}
