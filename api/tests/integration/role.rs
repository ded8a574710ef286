//! The role as a process runs it: on a port, from start to stop.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use clap::Parser;
use cyberbrain_api::{Args, Error, run};
use cyberbrain_common::{file_root, ready};
use cyberbrain_testkit::{TestDb, wait_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// What the role reads from its command line.
pub fn args(database: &str, home: &Path, bind: &str, options: &[&str]) -> Args {
    let home = home.display();
    let (data_dir, ready) = (format!("--data-dir={home}/data"), format!("--ready-file={home}/ready"));
    let (database, bind) = (format!("--database-url={database}"), format!("--bind={bind}"));
    let given = ["api", &database, &data_dir, &ready, &bind];
    Command::parse_from(given.iter().chain(options)).args
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

// One test, because logs and metrics are set up once per process.
#[tokio::test]
async fn the_role_waits_for_its_database_serves_and_stops() {
    let Some(db) = TestDb::empty().await else { return };
    let home = tempfile::tempdir().unwrap();
    let ready_file = home.path().join("ready");
    let shutdown = CancellationToken::new();
    let port = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    // It can't look after its uploads at first.
    let uploads = home.path().join("data/uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    std::fs::write(uploads.join(file_root::MARK), "no id").unwrap();
    let options = ["--keep-uploads-days", "99"];
    let role = tokio::spawn(run(args(&db.url, home.path(), &port.to_string(), &options), shutdown.clone()));

    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let unready = wait_for("the role to listen", Duration::from_secs(20), async || {
        TcpStream::connect(port).await.is_ok().then_some(())
    });
    unready.await;
    let answer = ask(port, &get("/readyz")).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("cyberbrain migrate"), "{answer}");
    assert!(!ready_file.exists(), "it is not announced before it can work");

    cyberbrain_common::db::migrate(&db.url).await.unwrap();
    let announced =
        wait_for("the role to be ready", Duration::from_secs(20), async || ready::read(&ready_file).unwrap())
            .await;
    assert_eq!(announced.url.as_deref(), Some(format!("http://{port}").as_str()));
    assert!(ask(port, &get("/readyz")).await.starts_with("HTTP/1.1 200"));
    let key = std::fs::read_to_string(home.path().join("data/admin.key")).unwrap();
    let with_key = format!(
        "GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        key.trim()
    );
    let answer = ask(port, &with_key).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("log_triage"), "{answer}");

    let (old, young) = ("01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00", "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d01");
    for (id, days) in [(old, 100), (young, 98)] {
        std::fs::write(uploads.join(id), "x").unwrap();
        let row = "insert into uploads (id, name, path, size_bytes, sha256, mime_type, uploaded_by, used_at)
            values ($1::uuid, 'x', $1, 1, sha256('x'), 'text/plain', 'test', now() - make_interval(days => $2))";
        sqlx::query(row).bind(id).bind(days).execute(&mut db.connect().await).await.unwrap();
    }
    std::fs::remove_file(uploads.join(file_root::MARK)).unwrap();
    let removed = wait_for("the old upload to be removed", Duration::from_secs(60), async || {
        (!uploads.join(old).exists()).then_some(())
    });
    removed.await;
    assert!(uploads.join(young).exists());

    let metrics = announced.metrics_url.unwrap();
    let address: SocketAddr =
        metrics.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap();
    let exposed = ask(address, &get("/metrics")).await;
    // Tests beside this one are counted in the same process.
    let line = r#"cyberbrain_http_requests_total{method="GET",route="/api/v1/jobs",status="200"} "#;
    assert!(exposed.contains(line), "{exposed}");
    assert!(exposed.contains("cyberbrain_http_request_duration_seconds_bucket"), "{exposed}");

    let taken = run(args(&db.url, home.path(), &port.to_string(), &[]), CancellationToken::new()).await;
    let taken = taken.unwrap_err();
    assert!(matches!(taken, Error::Bind { .. }), "{taken:?}");
    assert!(taken.to_string().contains("CYBER_BRAIN_BIND"), "{taken}");

    // A connection that says nothing does not hold up the stop.
    let _idle = TcpStream::connect(port).await.unwrap();
    let before = Instant::now();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(15), role).await.expect("it stops").unwrap().unwrap();
    eprintln!("the stop took {:?}", before.elapsed());
    assert!(TcpStream::connect(port).await.is_err(), "nobody listens any more");
}
