//! What the LLM gateway costs: time to the first byte against the bare endpoint, and memory with many streams.
//!
//! Endpoint, gateway and load are processes of their own, on one machine, in one run. Calls to the endpoint and through
//! the gateway take turns, each on a connection that is kept, so that whatever else the machine does hits both. Memory
//! is the gateway's high-water mark as the kernel counts it. Ends with an error if a bound is missed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use cyberbrain_common::{
    db::{self, PoolSize, instance},
    ids::fresh,
    worker_token,
};
use cyberbrain_core::ids::{AttemptId, RunId, RunJobId};
use cyberbrain_launcher::gateway::{Budget, Endpoints, Gateway};
use cyberbrain_testkit::TestDb;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http1::SendRequest,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CALLS: usize = 1_000;
const WARM_UP: usize = 100;
const STREAMS: usize = 500;
const EVENTS: usize = 100;
const EVENT_PAUSE: Duration = Duration::from_millis(50);
/// Added to the first byte, half of the time.
const BOUND: Duration = Duration::from_millis(1);
const MEMORY_BOUND_KIB: u64 = 100 * 1024;
const PATH: &str = "/v1/chat/completions";
const EVENT: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"some word\"}}],\"usage\":null}\n\n";
const LAST: &[u8] =
    b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":100,\"total_tokens\":109}}\n\ndata: [DONE]\n\n";

/// Runs the part that the arguments name; without any, the measurement.
///
/// # Errors
/// When something can't be set up, or a bound is missed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments {
        [] => runtime.block_on(measure()),
        [part] if part == "endpoint" => runtime.block_on(endpoint()),
        [part, url, file] if part == "serve" => runtime.block_on(serve(url, Path::new(file))),
        _ => anyhow::bail!("usage: cyberbrain-bench gateway"),
    }
}

async fn measure() -> anyhow::Result<()> {
    allow_many_files()?;
    let db = TestDb::new().await.context("no PostgreSQL")?;
    let token = open_attempt(&db).await?;
    let endpoint = Part::start(&["endpoint"])?;
    let file = tempfile::NamedTempFile::new()?;
    let text = format!(
        r#"{{"endpoints": [{{"name": "bench", "kind": "openai", "base_url": "http://{}/v1", "models": {{"default": "real"}}}}]}}"#,
        endpoint.address
    );
    std::fs::write(file.path(), text)?;
    let path = file.path().to_str().context("a path of ours is text")?;
    let gateway = Part::start(&["serve", &db.url, path])?;
    let first_byte = first_bytes(endpoint.address, gateway.address, &token).await?;
    let idle = gateway.memory_kib("VmRSS")?;
    streams(gateway.address, &token).await?;
    let peak = gateway.memory_kib("VmHWM")?;
    println!("memory of the gateway's process: {idle} KiB idle, {peak} KiB at most with {STREAMS} streams");
    ensure!(first_byte < BOUND, "{first_byte:?} added to the first byte; the bound is {BOUND:?}");
    ensure!(peak < MEMORY_BOUND_KIB, "{peak} KiB; the bound is {MEMORY_BOUND_KIB} KiB");
    Ok(())
}

/// What the gateway adds, as the difference of the medians.
async fn first_bytes(endpoint: SocketAddr, gateway: SocketAddr, token: &str) -> anyhow::Result<Duration> {
    let mut bare = connect(endpoint).await?;
    let mut through = connect(gateway).await?;
    let (mut times_bare, mut times_through) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + CALLS {
        let without = first_byte(&mut bare, token, 1).await?;
        let with = first_byte(&mut through, token, 1).await?;
        if round >= WARM_UP {
            times_bare.push(without);
            times_through.push(with);
        }
    }
    for (name, times) in [("bare endpoint", &mut times_bare), ("through the gateway", &mut times_through)] {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        println!("first byte, {name}: p50 {:?}, p95 {:?}, p99 {:?}", at(50), at(95), at(99));
    }
    let added = times_through[CALLS / 2].saturating_sub(times_bare[CALLS / 2]);
    println!("added to the first byte: p50 {added:?} ({CALLS} calls each, taking turns)");
    Ok(added)
}

async fn first_byte(
    sender: &mut SendRequest<Full<Bytes>>,
    token: &str,
    events: usize,
) -> anyhow::Result<Duration> {
    sender.ready().await?;
    let begun = Instant::now();
    let mut response = sender.send_request(request(token, events)?).await?;
    ensure!(response.status() == 200, "{}", response.status());
    response.frame().await.context("an answer without a body")??;
    let took = begun.elapsed();
    while let Some(frame) = response.frame().await {
        frame?;
    }
    Ok(took)
}

/// Many streams at once, each of them held open for some seconds.
async fn streams(gateway: SocketAddr, token: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let all = (0..STREAMS).map(|_| async move {
        let mut sender = connect(gateway).await?;
        let mut response = sender.send_request(request(token, EVENTS)?).await?;
        ensure!(response.status() == 200, "{}", response.status());
        let mut bytes = 0;
        while let Some(frame) = response.frame().await {
            bytes += frame?.into_data().map_or(0, |data| data.len());
        }
        ensure!(bytes > EVENTS * EVENT.len(), "a stream was cut: {bytes} bytes");
        Ok(())
    });
    for stream in futures::future::join_all(all).await {
        stream?;
    }
    println!("{STREAMS} streams of {EVENTS} events at once took {:?}", begun.elapsed());
    Ok(())
}

fn request(token: &str, events: usize) -> anyhow::Result<Request<Full<Bytes>>> {
    let body = format!(
        r#"{{"model":"default","stream":true,"max_tokens":{events},"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "word ".repeat(200)
    );
    let request = Request::post(PATH)
        .header("host", "bench")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    Ok(request.body(Full::new(body.into()))?)
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A process of this program that says where it listens.
struct Part {
    child: Child,
    address: SocketAddr,
}

impl Part {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("gateway")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("its output is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("a part did not start: {line:?}"))?;
        Ok(Self { child, address })
    }

    fn memory_kib(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|rest| rest.split_whitespace().next()).context("no such field")?;
        Ok(number.parse()?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{address}")?;
    Ok(out.flush()?)
}

/// The gateway, as a launcher has it.
async fn serve(url: &str, file: &Path) -> anyhow::Result<()> {
    allow_many_files()?;
    let pool = db::pool(url, "bench-gateway", PoolSize(4))?;
    let instance = instance::read(&mut *pool.acquire().await?).await?;
    let budget = Budget { tokens: None, calls: 10_000 };
    let gateway = Gateway::bind("127.0.0.1:0".parse()?, Endpoints::read(file)?, budget, &instance, pool)?;
    say(gateway.address()?)?;
    gateway.serve(CancellationToken::new()).await;
    Ok(())
}

/// An endpoint that answers at once: the first event comes with the head, the others one by one.
async fn endpoint() -> anyhow::Result<()> {
    allow_many_files()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(stream_events)));
    }
}

type Events = StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>>;

async fn stream_events(request: Request<Incoming>) -> anyhow::Result<Response<Events>> {
    let body = request.into_body().collect().await?.to_bytes();
    let asked: serde_json::Value = serde_json::from_slice(&body)?;
    let events = asked["max_tokens"].as_u64().unwrap_or(1);
    let stream = futures::stream::iter(0..=events).then(move |number| async move {
        if number > 0 && events > 1 {
            tokio::time::sleep(EVENT_PAUSE).await;
        }
        let piece = if number == events { LAST } else { EVENT };
        Ok(Frame::data(Bytes::from_static(piece)))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(StreamBody::new(stream.boxed()))?)
}

/// Both sides of 500 streams are more than many shells allow.
fn allow_many_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// A running attempt, and its token.
async fn open_attempt(db: &TestDb) -> anyhow::Result<String> {
    let mut connection = db.connect().await;
    let (run, job, attempt): (RunId, RunJobId, AttemptId) = (fresh(), fresh(), fresh());
    let rows = format!(
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, max_attempts)
             values ('{run}', 'e', 'm', 'h', 'b', 'docker', 1000, 1024, 8);
         insert into launchers (id, host_id, pid, version) values ('{run}', '{run}', 1, 'bench');
         insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
             values ('{run}', 'D4', 'Custom', 1, '{{}}', 'bench');
         insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, status, deadline_at)
             values ('{job}', '{run}', 0, 'custom_job', 'job', '{{}}', 'bench', 's', 'running', now());
         insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, launcher_id, state, cpu_millis,
                 memory_mib, selection_reason, placement, deadline_at)
             values ('{attempt}', '{job}', '{run}', 1, '{run}', 'e', '{run}', 'running', 1, 1, '', 'cpu', now())"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut connection).await?;
    let secret = instance::read(&mut connection).await?.secret;
    Ok(worker_token::sign(&secret, attempt))
}
