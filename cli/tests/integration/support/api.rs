//! The REST API as a test speaks it: any body in, status and JSON out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// A client of one installation, with its admin key.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    key: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    pub fn new(base: &str, key: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), key: key.to_owned(), http }
    }

    /// GET below `/api/v1`; panics unless it succeeds.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, &format!("/api/v1{path}"), None).await;
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// POST below `/api/v1`; panics unless it succeeds.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::POST, &format!("/api/v1{path}"), Some(body)).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// Launches these jobs as one Run; returns its id.
    pub async fn launch(&self, run_jobs: Value) -> String {
        let run = self.post("/runs", &json!({"directive": "D4", "run_jobs": run_jobs})).await;
        run["id"].as_str().expect("a run has an id").to_owned()
    }

    /// The Run, once it has finished.
    pub async fn finished(&self, run: &str, limit: Duration) -> Value {
        let path = format!("/runs/{run}");
        cyberbrain_testkit::wait_for(&format!("the end of run {run}"), limit, async || {
            let run = self.get(&path).await;
            (!run["finished_at"].is_null()).then_some(run)
        })
        .await
    }

    /// The bytes at a path of the API, in the form that is asked for; panics unless it succeeds.
    pub async fn bytes(&self, path: &str, accept: &str) -> Bytes {
        let request = Request::get(format!("{}/api/v1{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::ACCEPT, accept)
            .body(Full::default());
        let exchange = async {
            let answer = self.http.request(request.unwrap()).await.unwrap();
            assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        tokio::time::timeout(Duration::from_secs(30), exchange).await.expect("the api answers within 30 s")
    }

    /// The same as text.
    pub async fn read(&self, path: &str, accept: &str) -> String {
        String::from_utf8(self.bytes(path, accept).await.into()).unwrap()
    }

    /// The text at a whole URL; `None` if nobody answers there.
    pub async fn text(&self, url: &str) -> Option<String> {
        let answer = self.http.get(url.parse().expect("a URL"));
        let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.ok()?.ok()?;
        String::from_utf8(answer.into_body().collect().await.ok()?.to_bytes().into()).ok()
    }

    /// Any request; status and JSON.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        let content = body.map_or_else(Bytes::new, |json| Bytes::from(json.to_string()));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let exchange = async {
            let answer = self.http.request(request.body(Full::new(content)).unwrap()).await.unwrap();
            let status = answer.status();
            (status, answer.into_body().collect().await.unwrap().to_bytes())
        };
        let (status, bytes) = tokio::time::timeout(Duration::from_secs(30), exchange)
            .await
            .expect("the api answers within 30 s");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}
