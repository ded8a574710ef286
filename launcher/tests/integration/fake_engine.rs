//! An engine that misbehaves in ways in which a real one can't be asked to: a socket with canned answers.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use cyberbrain_core::ids::Fence;
use cyberbrain_launcher::runtime::{
    ContainerName, DockerOptions, DockerRuntime, Effect, Error, GpuInjection, Observation, WorkerRuntime,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use uuid::Uuid;

/// What is answered to a request.
enum Answer {
    Json(u16, String),
    /// The head of an answer, then the end of the connection.
    Broken,
    /// Nothing, and the connection stays open.
    Silence,
}

struct FakeEngine {
    directory: TempDir,
}

impl FakeEngine {
    /// Answers each request, given by its method and path, as the function says.
    fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("engine.sock")).unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer)));
            }
        });
        Self { directory }
    }

    async fn connect(&self) -> Result<DockerRuntime, Error> {
        let socket: PathBuf = self.directory.path().join("engine.sock");
        let host = Some(format!("unix://{}", socket.display()));
        DockerRuntime::connect(&DockerOptions { host, gpu_injection: GpuInjection::DeviceRequests }).await
    }
}

async fn serve(mut stream: UnixStream, answer: Arc<impl Fn(&str) -> Answer>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let request = head.split(" HTTP/").next().unwrap_or_default();
    let text = match answer(request) {
        Answer::Json(status, body) => format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Answer::Broken => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        Answer::Silence => {
            std::future::pending::<()>().await;
            unreachable!()
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
}

fn version() -> Answer {
    Answer::Json(200, r#"{"ApiVersion":"1.41"}"#.to_owned())
}

fn state(status: &str, code: i64) -> Answer {
    Answer::Json(
        200,
        format!(r#"{{"Id":"x","State":{{"Status":"{status}","ExitCode":{code},"OOMKilled":false}}}}"#),
    )
}

fn name() -> ContainerName {
    ContainerName::for_attempt(Uuid::now_v7().into(), Fence::FIRST)
}

#[tokio::test]
async fn a_wait_that_breaks_is_no_end_of_the_container() {
    let inspections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&inspections);
    let engine = FakeEngine::start(move |request| match request {
        "GET /version" => version(),
        wait if wait.contains("/wait") => Answer::Broken,
        inspect if inspect.ends_with("/json") => match seen.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => state("running", 0),
            _ => state("exited", 7),
        },
        other => panic!("{other}"),
    });
    let runtime = engine.connect().await.unwrap();
    let ended = timeout(Duration::from_secs(30), runtime.wait(&name())).await.unwrap();
    let Observation::Exited(exit) = ended else { panic!("{ended:?}") };
    assert_eq!(exit.code, 7, "the true code, after two broken waits");
    assert_eq!(inspections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_wait_on_an_engine_that_fails_is_unknown() {
    let engine = FakeEngine::start(|request| match request {
        "GET /version" => version(),
        wait if wait.contains("/wait") => Answer::Broken,
        _ => Answer::Json(500, r#"{"message":"the store is gone"}"#.to_owned()),
    });
    let runtime = engine.connect().await.unwrap();
    let waited = timeout(Duration::from_secs(30), runtime.wait(&name())).await.unwrap();
    let Observation::Unknown(error) = waited else { panic!("{waited:?}") };
    assert_eq!((error.code(), error.effect()), ("engine", Effect::Unknown));
}

#[tokio::test]
async fn a_start_is_not_sent_unless_the_container_is_known_to_be_new() {
    for (status, code) in
        [("running", "refused"), ("exited", "refused"), ("removing", "engine"), ("odd", "unreachable")]
    {
        let started = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&started);
        let engine = FakeEngine::start(move |request| match request {
            "GET /version" => version(),
            inspect if inspect.starts_with("GET") => state(status, 0),
            _ => {
                seen.fetch_add(1, Ordering::SeqCst);
                Answer::Json(204, String::new())
            }
        });
        let runtime = engine.connect().await.unwrap();
        let error = runtime.start(&name()).await.unwrap_err();
        assert_eq!(error.code(), code, "{status}: {error:?}");
        assert_eq!(started.load(Ordering::SeqCst), 0, "{status}");
    }
}

#[tokio::test]
async fn an_engine_that_hangs_does_not_hang_us() {
    let engine = FakeEngine::start(|request| match request {
        "GET /version" => version(),
        _ => Answer::Silence,
    });
    let runtime = engine.connect().await.unwrap();
    let seen = timeout(Duration::from_secs(40), runtime.inspect(&name())).await.expect("it is bounded");
    let Observation::Unknown(error) = seen else { panic!("{seen:?}") };
    assert_eq!((error.code(), error.effect()), ("timeout", Effect::Unknown));
}

#[tokio::test]
async fn no_engine_is_said_plainly() {
    let host = Some("unix:///nowhere/engine.sock".to_owned());
    let options = DockerOptions { host, gpu_injection: GpuInjection::DeviceRequests };
    let error = DockerRuntime::connect(&options).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.to_string().contains("unix:///nowhere/engine.sock"), "{error}");
}

#[tokio::test]
async fn only_a_young_container_gets_sigterm_twice() {
    for (age_seconds, expected, grace_left) in
        [(0, &["kill?signal=SIGTERM", "stop"][..], 1..=9), (60, &["stop"][..], 10..=10)]
    {
        let started_at = (Utc::now() - TimeDelta::seconds(age_seconds)).to_rfc3339();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let engine = FakeEngine::start(move |request| match request {
            "GET /version" => version(),
            // The first SIGTERM does nothing: the wait for the end goes on.
            wait if wait.contains("/wait") => Answer::Silence,
            inspect if inspect.ends_with("/json") => {
                Answer::Json(200, format!(r#"{{"State":{{"Status":"running","StartedAt":"{started_at}"}}}}"#))
            }
            change => {
                seen.lock().unwrap().push(change.rsplit('/').next().unwrap().to_owned());
                Answer::Json(204, String::new())
            }
        });
        let runtime = engine.connect().await.unwrap();
        runtime.stop(&name(), Duration::from_secs(10)).await.unwrap();
        let mut calls = calls.lock().unwrap().clone();
        let stop = calls.pop().unwrap();
        let (stop, seconds) = stop.split_once("?t=").unwrap();
        calls.push(stop.to_owned());
        assert_eq!(calls, expected, "{age_seconds} s old");
        assert!(grace_left.contains(&seconds.parse().unwrap()), "{seconds} s are left");
    }
}
