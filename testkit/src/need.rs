//! What a test can't do without, and what happens when it is missing.
//!
//! `CYBERBRAIN_TEST_REQUIRE=docker,postgres` turns a missing one into a failure: one test fails with the whole
//! reason, the others refer to it. Without it the tests that need it say why, count themselves and pass.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{python, server};

/// Where Debian's package has the server's program.
const WEB_SERVER: &str = "/usr/sbin/apache2";

/// Something outside the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Docker engine that answers.
    Docker,
    /// A PostgreSQL of our own, or the one of `TEST_DATABASE_URL`.
    Postgres,
    /// The official MCP client: a Python that makes virtual environments, and the packages that go into one.
    McpClient,
    /// A web server's program, to be packed into an image.
    WebServer,
}

impl Need {
    fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Postgres => "postgres",
            Self::McpClient => "mcp-client",
            Self::WebServer => "web-server",
        }
    }

    /// Looked for once per process.
    fn missing(self) -> Option<&'static str> {
        static DOCKER: OnceLock<Option<String>> = OnceLock::new();
        match self {
            Self::Docker => DOCKER.get_or_init(|| ping_docker().err()).as_deref(),
            Self::Postgres => server::shared().err(),
            Self::McpClient => python::missing(),
            Self::WebServer => (!Path::new(WEB_SERVER).exists())
                .then_some("Debian's web server is needed (apt-get install apache2-bin)"),
        }
    }

    /// Whether this is the first time that its absence is told.
    fn told_first(self) -> bool {
        static TOLD: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];
        let slot = match self {
            Self::Docker => 0,
            Self::Postgres => 1,
            Self::McpClient => 2,
            Self::WebServer => 3,
        };
        !TOLD[slot].swap(true, Ordering::Relaxed)
    }
}

/// True if it is there. Otherwise the skip was printed and the test should return.
///
/// # Panics
/// When `CYBERBRAIN_TEST_REQUIRE` forbids the skip; once per process and need, later ones only say that they
/// were skipped, so that the failure is read once.
#[must_use = "a test without what it needs should return"]
pub fn require(need: Need) -> bool {
    let Some(reason) = need.missing() else { return true };
    skip(need, reason);
    false
}

/// What a test had to get for itself, e.g. from a network; `None` as [`require`] gives false.
///
/// # Panics
/// As [`require`].
#[must_use = "a test without what it needs should return"]
pub fn got<T>(need: Need, outcome: Result<T, String>) -> Option<T> {
    outcome.map_err(|reason| skip(need, &reason)).ok()
}

fn skip(need: Need, reason: &str) {
    let first = need.told_first();
    assert!(!(first && required(need)), "{}: {reason}", need.word());
    say_skipped(need, if first { reason } else { "still missing, see above" });
}

fn required(need: Need) -> bool {
    let words = std::env::var("CYBERBRAIN_TEST_REQUIRE").unwrap_or_default();
    words.split(',').any(|word| word.trim() == need.word())
}

/// To the terminal itself: what a passing test prints is not shown. The last such line carries the count.
fn say_skipped(need: Need, reason: &str) {
    static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let count = {
        let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
        if !skipped.insert(test.clone()) {
            return;
        }
        skipped.len()
    };
    let line = format!("skipped {test}: no {}: {reason} ({count} skipped so far)\n", need.word());
    // A closed terminal is no reason to fail a test.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// `GET /_ping` at `DOCKER_HOST` or the usual socket.
fn ping_docker() -> Result<(), String> {
    ping_docker_at(&std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned()))
}

fn ping_docker_at(host: &str) -> Result<(), String> {
    let answer = if let Some(path) = host.strip_prefix("unix://") {
        UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            ask(stream)
        })
    } else {
        let address = host.trim_start_matches("tcp://").trim_start_matches("http://");
        TcpStream::connect(address).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            ask(stream)
        })
    };
    match answer {
        Ok(text) if text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(text) => Err(format!("{host} answers {:?}", text.lines().next().unwrap_or_default())),
        Err(error) => Err(format!("{host}: {error}")),
    }
}

fn ask(mut stream: impl std::io::Read + std::io::Write) -> std::io::Result<String> {
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::ping_docker_at;

    #[test]
    fn an_engine_is_there_only_if_it_answers_well() {
        for (answer, there) in
            [("HTTP/1.0 200 OK\r\n\r\nOK", true), ("HTTP/1.1 503 Busy\r\n\r\n", false), ("", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let host = format!("tcp://{}", listener.local_addr().unwrap());
            let engine = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 512]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(ping_docker_at(&host).is_ok(), there, "{answer:?}");
            engine.join().unwrap();
        }
        assert!(
            ping_docker_at("unix:///nonexistent/docker.sock")
                .unwrap_err()
                .contains("/nonexistent/docker.sock")
        );
    }
}
