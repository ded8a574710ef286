//! An API over a database of its own, with one key of each scope.

use std::collections::BTreeMap;

use axum::{Router, body::Body, http::Request};
use cyberbrain_api::{App, UploadStore, router};
use cyberbrain_common::{
    db::{self, Pool, closing},
    keys::{self, NewKey, Scope},
};
use cyberbrain_core::{audit::Actor, ids::RunId, lifecycle::RunJobStatus, report};
use cyberbrain_testkit::TestDb;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::contract;

/// The largest upload that the service under test takes.
pub const MAX_UPLOAD_BYTES: u64 = 1024 * 1024;

/// The service under test.
pub struct Api {
    pub router: Router,
    pub viewer: String,
    pub operator: String,
    pub admin: String,
    /// Root of the uploads.
    pub uploads: TempDir,
    pub stopping: CancellationToken,
    pub db: TestDb,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The last part of the problem's type. Checks what all problems have in common.
    #[track_caller]
    pub fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{problem}");
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"], self.headers["x-request-id"].as_str(), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }

    /// `in` and `pointer` of all errors of a problem, e.g. `body /jobs/0`.
    #[track_caller]
    pub fn places(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| {
            assert!(!error["detail"].as_str().unwrap().is_empty(), "{problem}");
            format!("{} {}", error["in"].as_str().unwrap(), error["pointer"].as_str().unwrap())
        };
        errors.iter().map(place).collect()
    }
}

impl Api {
    /// `None`: there is no PostgreSQL and the skip was said.
    pub async fn start() -> Option<Self> {
        let db = TestDb::new().await?;
        let pool = db.pool_for_lists();
        Some(Self::over(db, pool).await)
    }

    /// Over this pool, which may lead through a proxy; the keys are made directly.
    pub async fn over(db: TestDb, pool: Pool) -> Self {
        let mut direct = db.connect().await;
        let mut make = async |name: &str, scope| {
            let key = NewKey { name: name.parse().unwrap(), scope, expires_at: None };
            keys::create(&mut direct, &key, &Actor::System("test")).await.unwrap().expose()
        };
        let viewer = make("viewer", Scope::Viewer).await;
        let operator = make("operator", Scope::Operator).await;
        let admin = make("boss", Scope::Admin).await;
        let uploads = tempfile::tempdir().unwrap();
        let stopping = CancellationToken::new();
        let store = UploadStore::new(uploads.path().to_owned(), MAX_UPLOAD_BYTES);
        let router = router(&App::new(pool, stopping.clone(), store));
        Self { router, viewer, operator, admin, uploads, stopping, db }
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter();
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: headers
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        };
        contract::hold(&method, &path, &answer);
        answer
    }

    /// `GET` as a viewer.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, Some(&self.viewer), &[], Body::empty())).await
    }

    /// `POST` as an operator, with this JSON or without a body.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Answer {
        self.post_with(path, body, &[]).await
    }

    /// `POST` of a new thing as an admin.
    pub async fn make(&self, path: &str, body: Option<&Value>) -> Answer {
        self.change("POST", path, &self.admin, None, body).await
    }

    /// `POST` as an operator with more headers.
    pub async fn post_with(&self, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let mut all = headers.to_vec();
        let body = match body {
            Some(value) => {
                all.push(("content-type", "application/json"));
                Body::from(value.to_string())
            }
            None => Body::empty(),
        };
        self.send(request("POST", path, Some(&self.operator), &all, body)).await
    }

    /// Any method with this key, for this version (`If-Match`) if one is given, with this JSON if there is some.
    pub async fn change(
        &self,
        method: &str,
        path: &str,
        key: &str,
        version: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(version.map(|tag| ("if-match", tag)));
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request(method, path, Some(key), &headers, body)).await
    }

    /// Launches and gives the id of the Run.
    pub async fn launch(&self, body: &Value) -> String {
        let answer = self.post("/api/v1/runs", Some(body)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Ends all run jobs of a Run in this way, and the Run with the report that follows from it.
    pub async fn end(&self, run: &str, status: RunJobStatus) {
        let run: RunId = run.parse().unwrap();
        let mut connection = self.db.connect().await;
        sqlx::query(
            "update run_jobs set status = $2, finished_at = now(), failure_detail = 'as a test says', failure =
                 case $2 when 'failed' then 'nonzero_exit' when 'cancelled' then 'cancelled' end
             where run_id = $1",
        )
        .bind(run.uuid())
        .bind(status.as_str())
        .execute(&mut connection)
        .await
        .unwrap();
        let locked = closing::lock(&mut connection, run).await.unwrap().unwrap();
        let sums = closing::sums(&mut connection, run).await.unwrap();
        let facts = closing::facts(&mut connection, run, locked, sums).await.unwrap();
        let report = report::build(facts).unwrap();
        closing::close(&mut connection, &report, &report::markdown(&report)).await.unwrap();
    }

    /// Rows of everything that a launch writes.
    pub async fn stored(&self) -> [i64; 5] {
        let row: (i64, i64, i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from runs), (select count(*) from run_jobs),
                 (select count(*) from worker_audit), (select count(*) from apalis.jobs),
                 (select count(*) from idempotency_keys)",
        )
        .fetch_one(&mut self.db.connect().await)
        .await
        .unwrap();
        [row.0, row.1, row.2, row.3, row.4]
    }

    /// One number from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.db.connect().await).await.unwrap()
    }

    /// Changes the database behind the API's back.
    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.db.connect().await).await.unwrap();
    }
}

/// Builds a request.
pub fn request(
    method: &str,
    path: &str,
    key: Option<&str>,
    headers: &[(&str, &str)],
    body: Body,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// A pool to this URL.
pub fn pool(url: &str) -> Pool {
    db::pool(url, "test", db::PoolSize(8)).unwrap()
}
