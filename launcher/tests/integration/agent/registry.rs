//! A registry with images of this machine's programs, as much of the distribution API as a pull needs, over plain HTTP
//! on the loopback address, where engines allow it. It wants a login, in one of the two ways that registries have.

use std::{
    collections::HashMap,
    io::Read as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cyberbrain_core::spec::ImageRef;
use cyberbrain_launcher::image::{self, Recipe};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::docker::PROGRAMS;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Name and tag below the registry's address.
const NAME: &str = "team/shell";
const TAG: &str = "1";
pub const USER: &str = "robot";
pub const PASSWORD: &str = "planted-hunter2-c7d2";
/// What `docker login` keeps instead of a password where a registry gives it.
pub const IDENTITY_TOKEN: &str = "planted-identity-93fe";
/// What the registry's token server hands out.
pub const BEARER_TOKEN: &str = "planted-bearer-4c0b";

/// How it asks who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// For the password, with each request.
    Basic,
    /// For a token, which its token server gives to whoever has the password or an identity token.
    Bearer,
}

pub struct Registry {
    pub address: SocketAddr,
    /// `host:port/name@sha256:…` of what its tag meant first.
    pub pin: String,
    serving: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    asks: Asks,
    address: SocketAddr,
    /// Below `/v2/`: media type and content.
    served: Mutex<HashMap<String, (&'static str, Vec<u8>)>>,
    refused: AtomicUsize,
    manifests: AtomicUsize,
    tokens: AtomicUsize,
}

impl Registry {
    /// Serves an image that no other test has, to whoever logs in.
    pub async fn start(asks: Asks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (refused, manifests, tokens) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let served = Mutex::new(HashMap::from([(String::new(), ("application/json", b"{}".to_vec()))]));
        let shared = Arc::new(Shared { asks, address, served, refused, manifests, tokens });
        let answering = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answering)));
            }
        });
        let mut registry = Self { address, pin: String::new(), serving, shared };
        registry.pin = registry.push();
        registry
    }

    /// Puts another image behind the tag; the one before stays under its digest. The new pin.
    pub fn push(&self) -> String {
        let (config, layer) = new_image();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": layer.len(), "digest": digest(&layer)}],
        }))
        .unwrap();
        let pinned = digest(&manifest);
        let mut served = self.shared.served.lock().unwrap();
        for blob in [config, layer] {
            served.insert(format!("{NAME}/blobs/{}", digest(&blob)), ("application/octet-stream", blob));
        }
        served.insert(format!("{NAME}/manifests/{TAG}"), (MANIFEST, manifest.clone()));
        served.insert(format!("{NAME}/manifests/{pinned}"), (MANIFEST, manifest));
        format!("{}/{NAME}@{pinned}", self.address)
    }

    /// From now on it has no manifest at all.
    pub fn withdraw_all(&self) {
        self.shared.served.lock().unwrap().retain(|path, _| !path.contains("/manifests/"));
    }

    /// Requests that came with another login or none.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// How often somebody was given a manifest.
    pub fn manifests(&self) -> usize {
        self.shared.manifests.load(Ordering::SeqCst)
    }

    /// How often somebody was given a token.
    pub fn tokens(&self) -> usize {
        self.shared.tokens.load(Ordering::SeqCst)
    }

    /// A file for `--registry-auth-file` with a name and a password.
    pub fn auth_file(&self, password: &str) -> tempfile::NamedTempFile {
        self.file_with(&json!({"auth": STANDARD.encode(format!("{USER}:{password}"))}))
    }

    /// The same with what `docker login` keeps after a login by browser.
    pub fn identity_file(&self) -> tempfile::NamedTempFile {
        self.file_with(&json!({"identitytoken": IDENTITY_TOKEN}))
    }

    fn file_with(&self, login: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = json!({"auths": {self.address.to_string(): login}}).to_string();
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

/// Configuration and layer of an image that nobody else has.
fn new_image() -> (Vec<u8>, Vec<u8>) {
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
    let listed: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let config = files.remove(listed[0]["Config"].as_str().unwrap()).unwrap();
    let layer = files.remove(listed[0]["Layers"][0].as_str().unwrap()).unwrap();
    (config, layer)
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// A request, as far as it matters here.
struct Asked {
    method: String,
    path: String,
    authorization: String,
    body: String,
}

/// `None` where nothing comes that is a request.
async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes: Vec<u8> = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        // An engine tries TLS first: what it says then has no end of a head, and it is cut off.
        if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) || bytes.len() > 16_384 {
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
            return None;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let header = |wanted: &str| {
        let found = head.lines().filter_map(|line| line.split_once(": "));
        found.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned()).next()
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    }
    let mut words = head.split(' ').map(str::to_owned);
    Some(Asked {
        method: words.next()?,
        path: words.next()?,
        authorization: header("authorization").unwrap_or_default(),
        body: String::from_utf8_lossy(&bytes[end..]).into_owned(),
    })
}

/// Status line's rest, further headers, media type, body.
type Answer = (&'static str, String, &'static str, Vec<u8>);

const JSON: &str = "application/json";

impl Shared {
    fn answer(&self, asked: &Asked) -> Answer {
        let password = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        if asked.path.starts_with("/token") && self.asks == Asks::Bearer {
            let known = asked.authorization == password || asked.body.contains(IDENTITY_TOKEN);
            return if known { self.hand_out(asked) } else { self.refuse() };
        }
        let wanted = match self.asks {
            Asks::Basic => password,
            Asks::Bearer => format!("Bearer {BEARER_TOKEN}"),
        };
        if asked.authorization != wanted {
            return self.refuse();
        }
        let served = self.served.lock().unwrap();
        let found = asked.path.strip_prefix("/v2/").and_then(|path| served.get(path));
        let Some((media_type, bytes)) = found else {
            let why = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return ("404 Not Found", String::new(), JSON, why.into());
        };
        if *media_type == MANIFEST {
            self.manifests.fetch_add(1, Ordering::SeqCst);
        }
        let named = format!("Docker-Content-Digest: {}\r\n", digest(bytes));
        ("200 OK", named, media_type, bytes.clone())
    }

    fn hand_out(&self, asked: &Asked) -> Answer {
        let scope = format!("{}{}", asked.path, asked.body).replace("%3A", ":").replace("%2F", "/");
        assert!(scope.contains(&format!("repository:{NAME}:pull")), "what for: {scope}");
        self.tokens.fetch_add(1, Ordering::SeqCst);
        let given = json!({"token": BEARER_TOKEN, "access_token": BEARER_TOKEN, "expires_in": 300});
        ("200 OK", String::new(), JSON, given.to_string().into())
    }

    fn refuse(&self) -> Answer {
        self.refused.fetch_add(1, Ordering::SeqCst);
        let challenge = match self.asks {
            Asks::Basic => "Basic realm=\"test\"".to_owned(),
            Asks::Bearer => format!(
                "Bearer realm=\"http://{}/token\",service=\"test\",scope=\"repository:{NAME}:pull\"",
                self.address
            ),
        };
        let why = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        ("401 Unauthorized", format!("WWW-Authenticate: {challenge}\r\n"), JSON, why.into())
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(asked) = read(&mut stream).await else { return };
    let (status, further, media_type, body) = shared.answer(&asked);
    let head = format!(
        "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n{further}Content-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if asked.method != "HEAD" {
        let _ = stream.write_all(&body).await;
    }
    let _ = stream.shutdown().await;
}
