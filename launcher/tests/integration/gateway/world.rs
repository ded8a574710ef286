//! A database with a running attempt, and gateways that can be started and stopped.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use cyberbrain_common::{
    db::{
        Pool,
        instance::{self, Instance},
    },
    ids::fresh,
    worker_token,
};
use cyberbrain_core::ids::{AttemptId, RunId, RunJobId};
use cyberbrain_launcher::gateway::{Budget, Endpoints, Gateway};
use cyberbrain_testkit::{TestDb, wait_for};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::stub::Stub;

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GENEROUS: Budget = Budget { tokens: None, calls: 16 };

pub struct World {
    pub pool: Pool,
    pub instance: Instance,
    pub attempt: AttemptId,
    pub token: String,
    // Last: its connections are cut then.
    pub db: TestDb,
}

/// A gateway that serves.
pub struct Running {
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

/// A row of `llm_calls`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    pub endpoint: String,
    pub model_id: String,
    pub prompt_tokens: i32,
    pub completion_tokens: i32,
    pub total_tokens: i32,
    pub estimated: bool,
    pub success: bool,
    pub error_class: Option<String>,
}

impl World {
    pub async fn new() -> Option<Self> {
        let db = TestDb::new().await?;
        let mut connection = db.connect().await;
        let instance = instance::read(&mut connection).await.unwrap();
        let (run, run_job, attempt): (RunId, RunJobId, AttemptId) = (fresh(), fresh(), fresh());
        let rows = format!(
            "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, max_attempts)
                 values ('{run}', 'e', 'm', 'h', 'b', 'docker', 1000, 1024, 8);
             insert into launchers (id, host_id, pid, version) values ('{run}', '{run}', 1, 'test');
             insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
                 values ('{run}', 'D4', 'Custom', 1, '{{}}', 'test');
             insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, status, deadline_at)
                 values ('{run_job}', '{run}', 0, 'custom_job', 'job', '{{}}', 'test', 's', 'running', now());
             insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, launcher_id, state, cpu_millis,
                     memory_mib, selection_reason, placement, deadline_at)
                 values ('{attempt}', '{run_job}', '{run}', 1, '{run}', 'e', '{run}', 'running', 1, 1, '', 'cpu', now())"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
        let token = worker_token::sign(&instance.secret, attempt);
        Some(Self { pool: db.pool(), instance, attempt, token, db })
    }

    /// A gateway in front of these endpoints, each of which serves the model `default` as `real/model`.
    pub async fn gateway(&self, stubs: &[&Stub]) -> Running {
        self.gateway_with(stubs, GENEROUS, json!({})).await
    }

    pub async fn gateway_with(&self, stubs: &[&Stub], budget: Budget, timeouts: Value) -> Running {
        let urls: Vec<String> = stubs.iter().map(|stub| stub.url()).collect();
        let port = "127.0.0.1:0".parse().unwrap();
        self.gateway_at(port, &urls, budget, timeouts, self.pool.clone()).await
    }

    pub async fn gateway_at(
        &self,
        address: SocketAddr,
        urls: &[String],
        budget: Budget,
        timeouts: Value,
        pool: Pool,
    ) -> Running {
        self.serve(address, self.endpoints(urls, &timeouts), budget, pool)
    }

    /// A gateway in front of the endpoints of such a file.
    pub fn gateway_of(&self, file: &Value) -> Running {
        let port = "127.0.0.1:0".parse().unwrap();
        self.serve(port, read(file), GENEROUS, self.pool.clone())
    }

    fn serve(&self, address: SocketAddr, endpoints: Endpoints, budget: Budget, pool: Pool) -> Running {
        let gateway = Gateway::bind(address, endpoints, budget, &self.instance, pool).unwrap();
        let address = gateway.address().unwrap();
        let stop = CancellationToken::new();
        let serving = Some(tokio::spawn(gateway.serve(stop.clone())));
        Running { address, stop, serving }
    }

    fn endpoints(&self, urls: &[String], timeouts: &Value) -> Endpoints {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "endpoint-key").unwrap();
        let list: Vec<Value> = urls
            .iter()
            .zip(["first", "second", "third"])
            .map(|(url, name)| {
                json!({"name": name, "kind": "vllm", "base_url": url, "models": {"default": "real/model"},
                    "key_file": key.path()})
            })
            .collect();
        let mut file = json!({ "endpoints": list });
        file.as_object_mut().unwrap().extend(timeouts.as_object().unwrap().clone());
        read(&file)
    }

    pub async fn rows(&self) -> Vec<Row> {
        sqlx::query_as(
            "select endpoint, model_id, prompt_tokens, completion_tokens, total_tokens, estimated, success, error_class
             from llm_calls order by created_at, id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Waits until there are so many rows.
    pub async fn until_rows(&self, count: usize) -> Vec<Row> {
        wait_for(&format!("{count} rows"), PATIENCE, async || {
            let rows = self.rows().await;
            assert!(rows.len() <= count, "too many: {rows:?}");
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// Sums of tokens: of the RunJob and of the Run.
    pub async fn sums(&self) -> [(i64, i64); 2] {
        let job = sqlx::query_as("select prompt_tokens, completion_tokens from run_jobs");
        let run = sqlx::query_as("select prompt_tokens, completion_tokens from runs");
        [job.fetch_one(&self.pool).await.unwrap(), run.fetch_one(&self.pool).await.unwrap()]
    }

    pub async fn end_attempt(&self) {
        sqlx::query("update attempts set state = 'done', ended_at = now(), deadline_at = null")
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// A chat that is answered in one piece.
    pub async fn chat(&self, to: &Running) -> (u16, Value) {
        let body = json!({"model": "default", "messages": [{"role": "user", "content": "hello you"}]});
        let response = to.post(&self.token, "/v1/chat/completions", &body).await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&text(response).await.unwrap()).unwrap())
    }

    /// A chat whose answer streams.
    pub async fn stream(&self, to: &Running) -> Response<Incoming> {
        let body = json!({"model": "default", "stream": true, "messages": [{"role": "user", "content": "hello you"}]});
        to.post(&self.token, "/v1/chat/completions", &body).await.unwrap()
    }
}

fn read(file: &Value) -> Endpoints {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file.to_string()).unwrap();
    Endpoints::read(path.path()).unwrap()
}

impl Running {
    pub async fn post(
        &self,
        token: &str,
        path: &str,
        body: &Value,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.send("POST", Some(token), path, body.to_string()).await
    }

    pub async fn send(
        &self,
        method: &str,
        token: Option<&str>,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway")
            .header("cookie", "worker=1");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        sender.send_request(request.body(Full::new(body.into())).unwrap()).await
    }

    /// As a launcher's end does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.serving.take().unwrap().await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

/// All of an answer.
pub async fn text(response: Response<Incoming>) -> Result<String, hyper::Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// The next piece of an answer; `None` at its end.
pub async fn piece(response: &mut Response<Incoming>) -> Option<Result<String, hyper::Error>> {
    let frame = tokio::time::timeout(PATIENCE, response.frame()).await.expect("a piece in time")?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}

pub fn chat_answer(content: &str, usage: &Value) -> String {
    json!({"id": "c", "choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage})
        .to_string()
}

pub fn event(content: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"delta": {"content": content}}], "usage": null}))
}

pub fn usage_event(prompt: u32, completion: u32) -> String {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    format!("data: {}\n\n", json!({"choices": [], "usage": usage}))
}

pub fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}
