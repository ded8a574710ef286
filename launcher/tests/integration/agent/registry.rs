//! A registry with one image of this machine's programs, as much of the distribution API as a pull needs, over plain
//! HTTP on the loopback address, where engines allow it. It wants a login, and counts those that are refused.

use std::{
    collections::HashMap,
    io::Read as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cyberbrain_core::spec::ImageRef;
use cyberbrain_launcher::image::{self, Recipe};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::docker::PROGRAMS;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub struct Registry {
    pub address: SocketAddr,
    /// `host:port/name@sha256:…`.
    pub pin: String,
    serving: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Below `/v2/`: media type and content.
    served: HashMap<String, (&'static str, Vec<u8>)>,
    authorization: String,
    refused: AtomicUsize,
    manifests: AtomicUsize,
}

impl Registry {
    /// Serves an image that no other test has, to whoever logs in so.
    pub async fn start(username: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut recipe =
            Recipe::programs(ImageRef { name: "cyberbrain-test-pulled".into(), tag: "1".into() }, &PROGRAMS);
        recipe.labels.insert("cyberbrain.test".into(), uuid::Uuid::now_v7().to_string());
        let mut archive = Vec::new();
        image::build(&recipe).unwrap().write_archive(&mut archive).unwrap();
        let mut files = HashMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, bytes);
        }
        let listed: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let config = files.remove(listed[0]["Config"].as_str().unwrap()).unwrap();
        let layer = files.remove(listed[0]["Layers"][0].as_str().unwrap()).unwrap();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": layer.len(), "digest": digest(&layer)}],
        }))
        .unwrap();
        let pin = format!("{address}/team/shell@{}", digest(&manifest));
        let blob = |bytes: &[u8]| format!("team/shell/blobs/{}", digest(bytes));
        let served = HashMap::from([
            (String::new(), ("application/json", b"{}".to_vec())),
            (format!("team/shell/manifests/{}", digest(&manifest)), (MANIFEST, manifest)),
            (blob(&config), ("application/octet-stream", config)),
            (blob(&layer), ("application/octet-stream", layer)),
        ]);
        let authorization = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let (refused, manifests) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { served, authorization, refused, manifests });
        let answering = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answering)));
            }
        });
        Self { address, pin, serving, shared }
    }

    /// Requests that came with another login or none.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// How often somebody was given the manifest.
    pub fn manifests(&self) -> usize {
        self.shared.manifests.load(Ordering::SeqCst)
    }

    /// A file for `--registry-auth-file`.
    pub fn auth_file(&self, username: &str, password: &str) -> tempfile::NamedTempFile {
        let auth = STANDARD.encode(format!("{username}:{password}"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = json!({"auths": {self.address.to_string(): {"auth": auth}}}).to_string();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// From now on nobody listens there.
    pub async fn stop(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head: Vec<u8> = Vec::new();
    // An engine tries TLS first: what it says then has no end of a head, and it is cut off.
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.first().is_some_and(|first| !first.is_ascii_uppercase()) || head.len() > 16_384 {
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
            return;
        }
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let logged_in = head.lines().any(|line| {
        let header = line.split_once(": ");
        header.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("authorization") && value == shared.authorization
        })
    });
    let found = path.strip_prefix("/v2/").and_then(|path| shared.served.get(path));
    let (status, extra, media_type, body): (_, _, _, &[u8]) = match (logged_in, found) {
        (false, _) => {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            let why = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            (
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned(),
                "application/json",
                why,
            )
        }
        (true, None) => ("404 Not Found", String::new(), "application/json", b"{}"),
        (true, Some((media_type, bytes))) => {
            if *media_type == MANIFEST {
                shared.manifests.fetch_add(1, Ordering::SeqCst);
            }
            ("200 OK", format!("Docker-Content-Digest: {}\r\n", digest(bytes)), *media_type, bytes.as_slice())
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n{extra}Content-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if method != "HEAD" {
        let _ = stream.write_all(body).await;
    }
    let _ = stream.shutdown().await;
}
