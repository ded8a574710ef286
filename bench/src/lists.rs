//! What lists cost when tables have grown: a million runs, five million records of the audit trail, a million calls of models.
//!
//! The api role as a process runs it, over HTTP on a connection that is kept, one request after the other, on a PostgreSQL of
//! our own with its usual settings. Each list is asked for with other values each time. Ends with an error if the slowest
//! hundredth of any of them takes longer than the bound.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Parser;
use cyberbrain_api::Args;
use cyberbrain_common::{
    keys::{self, NewKey, Scope},
    ready,
};
use cyberbrain_core::audit::Actor;
use cyberbrain_testkit::{TestDb, wait_for};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const CALLS: u32 = 300;
const WARM_UP: u32 = 20;
/// What is over the bound is measured again: the machine may have had something else to do.
const ROUNDS: u32 = 3;
/// Longer than that no list is asked for again and again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of the slowest hundredth.
const BOUND: Duration = Duration::from_millis(20);

/// A list: what it is called, and its path for the n-th call.
type List = (&'static str, fn(&Deep, u32) -> String);

/// Places far down the lists.
struct Deep {
    runs: String,
    failed_runs: String,
    audit: String,
    /// Ids of runs, oldest of them four months ago.
    run_ids: Vec<String>,
    hour: Box<dyn Fn(u32) -> String + Send + Sync>,
}

const LISTS: &[List] = &[
    ("runs", |_, _| "runs".into()),
    ("runs, failed", |_, _| "runs?status=failed".into()),
    ("runs, running", |_, _| "runs?status=running".into()),
    ("runs by a common tag", |_, _| "runs?tag=nightly".into()),
    ("runs by a tag of a thousandth", |_, n| format!("runs?tag=tag-{}", n % 333 * 3)),
    ("runs by a tag of one", |_, n| format!("runs?tag=ticket-{}", 900_000 + n * 3)),
    ("runs by a tag of none", |_, n| format!("runs?tag=no-{n}")),
    ("runs by a common job", |_, _| "runs?job=log_triage".into()),
    ("runs by a rare job", |_, _| "runs?job=rare_job".into()),
    ("runs by a job of none", |_, n| format!("runs?job=job_{n}")),
    ("runs by directive", |_, n| format!("runs?directive=directive%20{}", n % 50)),
    ("runs by a directive of none", |_, n| format!("runs?directive=no{n}")),
    ("runs by submitter", |_, n| format!("runs?requested_by=key:{}", n % 100)),
    ("runs of a time", |deep, n| format!("runs?created_before={}", (deep.hour)(n))),
    ("runs of a span of time", |deep, n| {
        format!("runs?created_after={}&created_before={}", (deep.hour)(n + 1), (deep.hour)(n))
    }),
    ("runs, deep cursor", |deep, _| format!("runs?cursor={}", deep.runs)),
    ("runs, failed, deep cursor", |deep, _| format!("runs?status=failed&cursor={}", deep.failed_runs)),
    ("runs since the last success", |_, _| "runs?since_last_success=true".into()),
    ("runs of a job since its last success", |_, _| "runs?since_last_success=true&job=gpu_report".into()),
    ("runs of a job that never succeeded", |_, _| "runs?since_last_success=true&job=broken_job".into()),
    ("run with its jobs", |deep, n| format!("runs/{}", deep.run(n))),
    ("artifacts of a run", |deep, n| format!("runs/{}/artifacts", deep.run(n))),
    ("audit", |_, _| "audit".into()),
    ("audit of a run", |deep, n| format!("audit?run={}", deep.run(n))),
    ("audit by a common operation", |_, _| "audit?operation=spawn".into()),
    ("audit by a rare operation", |_, _| "audit?operation=lost".into()),
    ("audit by an operation of none", |_, _| "audit?operation=adopt".into()),
    ("audit by actor", |_, _| "audit?actor=key:boss".into()),
    ("audit by host", |_, n| format!("audit?host=host-{}", n % 40)),
    ("audit of a time", |deep, n| format!("audit?to={}", (deep.hour)(n))),
    ("audit by host, of a span of time", |deep, n| {
        format!("audit?host=host-7&from={}&to={}", (deep.hour)(n + 1), (deep.hour)(n))
    }),
    ("audit, deep cursor", |deep, _| format!("audit?cursor={}", deep.audit)),
    ("usage of a day, by day", |deep, n| format!("usage?from={}&to={}", (deep.hour)(n + 24), (deep.hour)(n))),
    ("usage of a day, by model", |deep, n| {
        format!("usage?by=model&from={}&to={}", (deep.hour)(n + 24), (deep.hour)(n))
    }),
    ("usage of an hour, by directive", |deep, n| {
        format!("usage?by=directive&from={}&to={}", (deep.hour)(n + 1), (deep.hour)(n))
    }),
];

/// Shown, without a bound: sums over everything grow with it.
const UNBOUNDED: &[List] = &[("usage of all time, by day", |_, _| "usage".into())];

impl Deep {
    fn run(&self, n: u32) -> &str {
        &self.run_ids[n as usize % self.run_ids.len()]
    }
}

#[derive(Parser)]
struct Role {
    #[command(flatten)]
    args: Args,
}

/// Fills, measures, tells.
///
/// # Errors
/// When something can't be set up, an answer is not 200, or a bound is missed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    ensure!(arguments.is_empty(), "usage: cyberbrain-bench lists");
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let db = TestDb::new().await.context("there is no PostgreSQL")?;
    fill(&db).await?;
    let key = NewKey { name: "bench".parse()?, scope: Scope::Admin, expires_at: None };
    let key = keys::create(&mut db.connect().await, &key, &Actor::System("bench")).await?.expose();

    let home = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let role = tokio::spawn(cyberbrain_api::run(role(&db.url, home.path()), stop.clone()));
    let file = home.path().join("ready");
    let announced =
        wait_for("the api to be ready", Duration::from_secs(60), async || ready::read(&file).ok().flatten())
            .await;
    let url = announced.url.context("the api says no address")?;
    let mut client = Client::connect(url.trim_start_matches("http://"), key).await?;

    let deep = deep(&mut client).await?;
    println!("{:<40} {:>8} {:>8} {:>8}  ms, {CALLS} calls each", "", "p50", "p99", "most");
    let mut slow = Vec::new();
    for (name, path) in LISTS {
        let mut rounds = 1;
        while client.time(name, path, &deep, CALLS).await? > BOUND {
            if rounds == ROUNDS {
                slow.push(*name);
                break;
            }
            rounds += 1;
        }
    }
    for (name, path) in UNBOUNDED {
        client.time(name, path, &deep, 20).await?;
    }
    stop.cancel();
    role.await??;
    ensure!(slow.is_empty(), "p99 over {BOUND:?}: {}", slow.join("; "));
    Ok(())
}

async fn fill(db: &TestDb) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut connection = db.connect().await;
    sqlx::raw_sql(include_str!("lists/fill.sql")).execute(&mut connection).await?;
    sqlx::raw_sql("vacuum (analyze)").execute(&mut connection).await?;
    let (runs, records, size): (i64, i64, String) = sqlx::query_as(
        "select (select count(*) from runs), (select count(*) from worker_audit),
             pg_size_pretty(pg_database_size(current_database()))",
    )
    .fetch_one(&mut connection)
    .await?;
    ensure!((runs, records) == (1_000_000, 5_000_000), "{runs} runs and {records} records");
    println!("filled in {:.0?}: {runs} runs, {records} records of the audit trail, {size}", begin.elapsed());
    Ok(())
}

fn role(database: &str, home: &Path) -> Args {
    let home = home.display();
    let options = [
        "api".to_owned(),
        format!("--database-url={database}"),
        format!("--data-dir={home}/data"),
        format!("--ready-file={home}/ready"),
        "--bind=127.0.0.1:0".to_owned(),
        "--rate-limit-per-second=1000000".to_owned(),
        "--rate-limit-burst=1000000".to_owned(),
    ];
    Role::parse_from(options).args
}

/// Places that the api itself gave.
async fn deep(client: &mut Client) -> anyhow::Result<Deep> {
    let now = chrono::Utc::now();
    let hour = move |n: u32| {
        let at = now - chrono::TimeDelta::days(90) - chrono::TimeDelta::hours(i64::from(n));
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let cursor = |page: &Value| Some(page["next_cursor"].as_str()?.to_owned());
    let before = hour(0);
    let runs = client.get(&format!("runs?limit=100&created_before={before}")).await?;
    let failed = client.get(&format!("runs?status=failed&limit=100&created_before={before}")).await?;
    let audit = client.get(&format!("audit?limit=100&to={before}")).await?;
    let ids = runs["runs"].as_array().context("no runs")?;
    Ok(Deep {
        runs: cursor(&runs).context("no cursor of runs")?,
        failed_runs: cursor(&failed).context("no cursor of failed runs")?,
        audit: cursor(&audit).context("no cursor of the audit trail")?,
        run_ids: ids.iter().filter_map(|run| Some(run["id"].as_str()?.to_owned())).collect(),
        hour: Box::new(hour),
    })
}

struct Client {
    sender: SendRequest<Empty<Bytes>>,
    authority: String,
    key: String,
}

impl Client {
    async fn connect(authority: &str, key: String) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: authority.to_owned(), key })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.ask(path).await?)?)
    }

    /// The whole answer.
    async fn ask(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::get(format!("/api/v1/{path}"))
            .header("host", &self.authority)
            .header("authorization", format!("Bearer {}", self.key))
            .body(Empty::new())?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Prints a line; returns what the slowest hundredth takes.
    async fn time(
        &mut self,
        name: &str,
        path: &fn(&Deep, u32) -> String,
        deep: &Deep,
        calls: u32,
    ) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for n in 0..WARM_UP + calls {
            let path = path(deep, n);
            let begin = Instant::now();
            self.ask(&path).await?;
            times.push(begin.elapsed());
            if times.iter().sum::<Duration>() > PATIENCE {
                break;
            }
        }
        let warm_up = (WARM_UP as usize).min(times.len() / 2);
        let mut times = times.split_off(warm_up);
        times.sort();
        let at = |share: usize| times[(times.len() * share).div_ceil(100).saturating_sub(1)];
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!("{name:<40} {:>8.2} {:>8.2} {:>8.2}", ms(at(50)), ms(at(99)), ms(at(100)));
        Ok(at(99))
    }
}
