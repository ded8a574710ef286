//! The file server, over the wire: who gets what, and what nobody gets.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use cyberbrain_common::file_token::{LIFE, Purpose, ROUTE, encode_path, sign};
use cyberbrain_launcher::files::FileServer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

const SECRET: &[u8] = b"the secret of this installation";
const REPORT: &str = "runs/r/j/a/out/report.md";
const TEXT: &[u8] = b"0123456789";

struct Served {
    address: String,
    root: TempDir,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Status, head and body of an answer.
struct Answer(u16, String, Vec<u8>);

impl Served {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("logs");
        fs::create_dir_all(logs.join(REPORT).parent().unwrap()).unwrap();
        fs::write(logs.join(REPORT), TEXT).unwrap();
        fs::write(root.path().join("outside.txt"), "nobody reads this").unwrap();
        let server = FileServer::bind("127.0.0.1:0".parse().unwrap(), logs, SECRET.to_vec()).await.unwrap();
        let address = server.url().unwrap().strip_prefix("http://").unwrap().to_owned();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.serve(stop.clone()));
        Self { address, root, stop, task }
    }

    fn logs(&self) -> std::path::PathBuf {
        self.root.path().join("logs")
    }

    async fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer(status, head, bytes[end + 4..].to_vec())
    }

    /// `GET` with a good token, and these lines in the head.
    async fn get(&self, path: &str, lines: &str) -> Answer {
        let token = sign(SECRET, path, Purpose::Artifact, SystemTime::now());
        self.get_with(path, &token, lines).await
    }

    async fn get_with(&self, path: &str, token: &str, lines: &str) -> Answer {
        let path = encode_path(path);
        self.ask(&format!(
            "GET {ROUTE}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{lines}\r\n"
        ))
        .await
    }
}

#[tokio::test]
async fn a_good_token_opens_its_file_and_ranges_of_it() {
    let served = Served::start().await;
    let Answer(status, head, body) = served.get(REPORT, "").await;
    assert_eq!((status, body.as_slice()), (200, TEXT), "{head}");
    for line in ["content-length: 10", "accept-ranges: bytes", "x-content-type-options: nosniff"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    for (range, part, content_range) in [
        ("bytes=0-0", &TEXT[..1], "bytes 0-0/10"),
        ("bytes=3-", &TEXT[3..], "bytes 3-9/10"),
        ("bytes=-4", &TEXT[6..], "bytes 6-9/10"),
        ("bytes=2-400", &TEXT[2..], "bytes 2-9/10"),
    ] {
        let Answer(status, head, body) = served.get(REPORT, &format!("Range: {range}\r\n")).await;
        assert_eq!((status, body.as_slice()), (206, part), "{range}");
        assert!(head.contains(&format!("content-range: {content_range}")), "{head}");
    }
    let Answer(status, head, body) = served.get(REPORT, "Range: bytes=10-\r\n").await;
    assert_eq!((status, body.len()), (416, 0));
    assert!(head.contains("content-range: bytes */10"), "{head}");
    let Answer(status, _, body) = served.get(REPORT, "Range: bytes=0-1,4-5\r\n").await;
    assert_eq!((status, body.as_slice()), (200, TEXT), "several ranges are not made");
    served.stop.cancel();
    served.task.await.unwrap();
}

#[tokio::test]
async fn without_a_token_for_this_file_and_this_minute_nothing_is_told() {
    let served = Served::start().await;
    let now = SystemTime::now();
    let good = sign(SECRET, REPORT, Purpose::Artifact, now);
    let bad = [
        ("another file's", sign(SECRET, "runs/r/j/a/out/other.md", Purpose::Artifact, now)),
        ("an expired one", sign(SECRET, REPORT, Purpose::Artifact, now - LIFE - Duration::from_secs(1))),
        ("one of the far future", sign(SECRET, REPORT, Purpose::Artifact, now + LIFE * 10)),
        ("another installation's", sign(b"another secret", REPORT, Purpose::Artifact, now)),
        ("one with another purpose", good.replacen("artifact", "log", 1)),
        ("a cut one", good[..good.len() - 2].to_owned()),
        ("none", String::new()),
    ];
    for (name, token) in bad {
        for path in [REPORT, "runs/not/there"] {
            let Answer(status, _, body) = served.get_with(path, &token, "").await;
            assert_eq!((status, body.len()), (401, 0), "{name} for {path}");
        }
    }
    let path = encode_path(REPORT);
    for request in [
        format!("GET {ROUTE}{path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET {ROUTE}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {good}\r\n\r\n"),
        // Plain paths are no addresses of ours, whatever their encoding.
        format!("GET {ROUTE}{REPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n\r\n"),
        format!("GET {ROUTE}%2e%2e/outside.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n\r\n"),
    ] {
        assert_eq!(served.ask(&request).await.0, 401, "{request}");
    }
    let post = format!("POST {ROUTE}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n\r\n");
    assert_eq!(served.ask(&post).await.0, 405);
}

#[tokio::test]
async fn even_a_good_token_opens_nothing_outside_and_nothing_but_files() {
    let served = Served::start().await;
    let logs = served.logs();
    let out = logs.join("runs/r/j/a/out");
    symlink(served.root.path().join("outside.txt"), out.join("link.txt")).unwrap();
    symlink("report.md", out.join("inner-link.md")).unwrap();
    symlink(served.root.path(), logs.join("runs/up")).unwrap();
    symlink("/proc/self/environ", out.join("environ")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        out.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(out.join("socket")).unwrap();
    fs::write(out.join("ünïcode \u{202e}.md"), "fine").unwrap();
    fs::write(out.join("%2e%2e"), "a name like any other").unwrap();
    fs::write(out.join(Path::new(std::ffi::OsStr::from_bytes(b"latin-\xfc"))), "no text").unwrap();
    let absolute = logs.join(REPORT);
    let long = "x".repeat(300);
    let deep = "a/".repeat(3_000);
    let nothing = [
        "",
        "/",
        ".",
        "..",
        "runs",
        "runs/",
        "runs/r/j/a/out",
        "../outside.txt",
        "runs/../../outside.txt",
        "runs/r/j/a/out/../out/report.md",
        "./runs/r/j/a/out/report.md",
        "runs//r/j/a/out/report.md",
        "/runs/r/j/a/out/report.md",
        "/etc/passwd",
        absolute.to_str().unwrap(),
        "runs/r/j/a/out/report.md/",
        "runs/r/j/a/out/report.md/x",
        "runs/r/j/a/out/report.md\0",
        "runs/r/j/a/out/report.md\0.txt",
        "runs/r/j/a/out/link.txt",
        "runs/r/j/a/out/inner-link.md",
        "runs/up/outside.txt",
        "runs/r/j/a/out/environ",
        "runs/r/j/a/out/fifo",
        "runs/r/j/a/out/socket",
        "runs/r/j/a/out/%72eport.md",
        // Looks like dots and slashes, and is not: full width, one-dot leader, division slash.
        "\u{ff0e}\u{ff0e}/outside.txt",
        "\u{2024}\u{2024}/outside.txt",
        "..\u{2215}outside.txt",
        "..\\outside.txt",
        "runs/r/j/a/out/latin-ü",
        long.as_str(),
        deep.as_str(),
    ];
    for path in nothing {
        let answered = tokio::time::timeout(Duration::from_secs(10), served.get(path, "")).await;
        let Answer(status, _, body) = answered.unwrap_or_else(|_| panic!("{path:?} is never answered"));
        assert_eq!((status, body.len()), (404, 0), "{path:?}");
    }
    for (path, text) in
        [("runs/r/j/a/out/ünïcode \u{202e}.md", "fine"), ("runs/r/j/a/out/%2e%2e", "a name like any other")]
    {
        let Answer(status, _, body) = served.get(path, "").await;
        assert_eq!((status, body.as_slice()), (200, text.as_bytes()), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_grows_is_served_as_it_was_and_an_empty_one_is_empty() {
    let served = Served::start().await;
    let log = served.logs().join("runs/r/j/a/container-f1.log");
    fs::write(&log, "").unwrap();
    let path = "runs/r/j/a/container-f1.log";
    assert_eq!(served.get(path, "").await.0, 200);
    let Answer(status, head, _) = served.get(path, "Range: bytes=0-\r\n").await;
    assert!(status == 416 && head.contains("content-range: bytes */0"), "{head}");
    fs::write(&log, "one\n").unwrap();
    let Answer(status, _, body) = served.get(path, "Range: bytes=0-\r\n").await;
    assert_eq!((status, body.as_slice()), (206, b"one\n".as_slice()));
    fs::write(&log, "one\ntwo\n").unwrap();
    let Answer(status, _, body) = served.get(path, "Range: bytes=4-\r\n").await;
    assert_eq!((status, body.as_slice()), (206, b"two\n".as_slice()));
}

#[tokio::test]
async fn the_stop_does_not_wait_for_those_who_say_nothing() {
    let served = Served::start().await;
    let _silent = TcpStream::connect(&served.address).await.unwrap();
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), served.task).await.expect("it ends").unwrap();
}
