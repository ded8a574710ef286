//! The REST API as the command line uses it: one small client over loopback, with a time limit on every call.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A client with a key.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    key: String,
    http: Hyper<HttpConnector, Full<Bytes>>,
}

/// What a refusal says (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Debug, Deserialize)]
struct FieldProblem {
    pointer: String,
    detail: String,
}

impl Client {
    /// For the API at `base`, e.g. `http://127.0.0.1:9595`.
    pub fn new(base: &str, key: &str) -> Self {
        let http = Hyper::builder(TokioExecutor::new()).build_http();
        Self { base: base.trim_end_matches('/').to_owned(), key: key.to_owned(), http }
    }

    /// GET of `path` below `/api/v1`, as JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.call(Method::GET, path, "application/json", None).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the answer to GET {path} is not what was expected"))
    }

    /// GET of `path` below `/api/v1`, as text of this media type.
    pub async fn get_text(&self, path: &str, accept: &str) -> anyhow::Result<String> {
        let body = self.call(Method::GET, path, accept, None).await?;
        Ok(String::from_utf8(body.into())?)
    }

    /// POST of `body` to `path` below `/api/v1`.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.call(Method::POST, path, "application/json", Some(body)).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the answer to POST {path} is not what was expected"))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Bytes> {
        let what = format!("{method} {path}");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1{path}", self.base))
            .header(header::ACCEPT, accept)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        let content = match body {
            None => Bytes::new(),
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(json)?)
            }
        };
        let exchange = async {
            let answer = self.http.request(request.body(Full::new(content))?).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = tokio::time::timeout(CALL_LIMIT, exchange)
            .await
            .with_context(|| format!("{what}: no answer in {} s", CALL_LIMIT.as_secs()))?
            .with_context(|| format!("{what}: the API at {} can't be reached", self.base))?;
        if status.is_success() { Ok(body) } else { bail!("{what}: {}", refusal(status, &body)) }
    }
}

/// One line from a refusal: status, what is wrong, and where.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else { return status.to_string() };
    let mut line = format!("{}: {}", status.as_u16(), problem.title);
    if let Some(detail) = problem.detail {
        line.push_str(&format!(": {detail}"));
    }
    for field in problem.errors {
        line.push_str(&format!("; {}: {}", field.pointer, field.detail));
    }
    line
}
