//! What the layers make of handlers that behave badly.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
    routing::get,
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::layered;

fn router() -> Router {
    let routes = Router::new()
        .route("/panic", get(|| async { panic!("the secret of the handler") as () }))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route("/bare", get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") }))
        .route("/fine", get(|| async { "fine ".repeat(1000) }));
    layered(routes, Duration::from_millis(50))
}

async fn get_from(path: &str, headers: &[(&str, &str)]) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn whatever_a_handler_does_an_error_is_a_problem() {
    let cases = [
        ("/panic", 500, "/problems/internal"),
        ("/never", 503, "/problems/timeout"),
        ("/bare", 400, "/problems/bad-request"),
        ("/nowhere", 404, "/problems/not-found"),
    ];
    for (path, status, kind) in cases {
        let (response, body) = get_from(path, &[]).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], kind, "{path}");
        assert_eq!(problem["status"], status, "{path}");
        assert_eq!(problem["request_id"], response.headers()["x-request-id"].to_str().unwrap(), "{path}");
        assert!(!problem.to_string().contains("secret"), "a panic's text stays inside: {problem}");
    }
}

#[tokio::test]
async fn only_files_that_are_sent_to_us_may_take_their_time() {
    let slow = || async { tokio::time::sleep(Duration::from_millis(300)).await };
    let routes = Router::new().route("/api/v1/uploads", get(slow).post(slow));
    let router = layered(routes, Duration::from_millis(50));
    for (method, status) in [("GET", 503), ("POST", 200)] {
        let request = Request::builder().method(method).uri("/api/v1/uploads?name=x");
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method}");
    }
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_any_other_is_replaced() {
    let (response, _) = get_from("/fine", &[("x-request-id", "my-request.7")]).await;
    assert_eq!(response.headers()["x-request-id"], "my-request.7");
    for bad in ["", "two words", &"x".repeat(65), "<script>"] {
        let (response, _) = get_from("/fine", &[("x-request-id", bad)]).await;
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{bad:?} became {id:?}");
    }
}

#[tokio::test]
async fn answers_carry_security_headers_and_are_compressed_on_request() {
    let (response, body) = get_from("/fine", &[("accept-encoding", "gzip")]).await;
    let headers = response.headers();
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(body.len() < 500 && body.starts_with(&[0x1f, 0x8b]), "{} bytes", body.len());
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(headers[name], value);
    }
}
