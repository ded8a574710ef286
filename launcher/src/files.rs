//! The file server: the files below the logs root, read-only, for whoever holds a token for the very file.
//!
//! The api shows artifacts and logs of any host through it. Guarantees: nothing is opened without a good token, and then
//! nothing outside the root, no link, and regular files only; connections, the time until a request's head is there and
//! the time a reader may stand still are bounded. Deliberately absent: listing, writing, TLS, knowledge of the database.

use std::{
    convert::Infallible,
    ffi::CString,
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cyberbrain_common::{
    byte_range::{Wanted, wanted},
    file_token,
    stall::StallLimit,
};
use futures::TryStreamExt as _;
use http_body_util::{Either, Empty, StreamBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    net::TcpListener,
};
use tokio_util::{io::ReaderStream, sync::CancellationToken};

use crate::{
    beneath::{Beneath, Found},
    connections::{self, Terms},
};

/// Connections at once.
const MAX_CONNECTIONS: usize = 256;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may read nothing.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How long open transfers may take after the stop.
const DRAIN: Duration = Duration::from_secs(5);
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest path that is looked up.
const MAX_PATH_BYTES: usize = 4_096;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct FileServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    secret: Vec<u8>,
}

impl FileServer {
    /// Listens. `secret` is the installation's.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn bind(address: SocketAddr, root: PathBuf, secret: Vec<u8>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, shared: Arc::new(Shared { root, secret }) })
    }

    /// Where the api finds it: by this machine's name if it listens on all addresses.
    ///
    /// # Errors
    /// When the socket does not know its address.
    pub fn url(&self) -> io::Result<String> {
        let address = self.listener.local_addr()?;
        if !address.ip().is_unspecified() {
            return Ok(format!("http://{address}"));
        }
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy();
        Ok(format!("http://{name}:{}", address.port()))
    }

    /// Answers until `stop`; transfers that are open then get five seconds.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, shared } = self;
        let mut http = http1::Builder::new();
        // One request each: the api opens a connection per file, and nothing idle is kept.
        http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let terms = Terms { server: "files", most: MAX_CONNECTIONS, drain: DRAIN };
        connections::serve(listener, terms, stop, move |stream| {
            let shared = Arc::clone(&shared);
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            http.serve_connection(TokioIo::new(StallLimit::new(stream, STALL_LIMIT)), service)
        })
        .await;
    }
}

type FileStream = StreamBody<futures::stream::BoxStream<'static, io::Result<Frame<Bytes>>>>;
type Body = Either<FileStream, Empty<Bytes>>;

/// Why there is no file for a request.
enum Refusal {
    Method,
    /// No token, or one that is not good for this file.
    Token,
    /// No such file, or nothing that is handed out.
    Nothing,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let answered = match find(&shared, &request).await {
        Ok(file) => send(file, request.headers()).await.map_err(Refusal::Io),
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(|refusal| {
        empty(match refusal {
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Token => StatusCode::UNAUTHORIZED,
            Refusal::Nothing => StatusCode::NOT_FOUND,
            Refusal::Io(error) => {
                tracing::warn!(%error, "a file that was asked for can't be read");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        })
    });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The token is checked before anything is looked up, so that nobody learns what there is.
async fn find(shared: &Arc<Shared>, request: &Request<Incoming>) -> Result<File, Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    let path = request.uri().path().strip_prefix(file_token::ROUTE).and_then(file_token::decode_path);
    let path = path.ok_or(Refusal::Token)?;
    let token = bearer(request.headers()).ok_or(Refusal::Token)?;
    file_token::check(&shared.secret, &path, token, SystemTime::now()).map_err(|_| Refusal::Token)?;
    let shared = Arc::clone(shared);
    let opened = tokio::task::spawn_blocking(move || open(&shared.root, &path));
    opened.await.unwrap_or_else(|error| Err(io::Error::other(error)))?.ok_or(Refusal::Nothing)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Walks down from the root by one name after the other, each looked up beneath the directory before.
fn open(root: &Path, path: &str) -> io::Result<Option<File>> {
    if path.len() > MAX_PATH_BYTES {
        return Ok(None);
    }
    let mut directory = Beneath::open(root)?;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        if matches!(name, "" | "." | "..") {
            return Ok(None);
        }
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let found = match directory.find(&name) {
            Ok(found) => found,
            Err(error) if is_bad_name(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match (found, names.peek()) {
            (Some(Found::File(file)), None) => return Ok(Some(file)),
            (Some(Found::Directory(inner)), Some(_)) => directory = inner,
            (Some(Found::File(_) | Found::Directory(_) | Found::Other) | None, _) => return Ok(None),
        }
    }
    Ok(None)
}

/// A name that no file system takes is the name of nothing.
fn is_bad_name(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput)
}

/// The file as it is now: what is appended later is for the next request.
async fn send(file: File, headers: &HeaderMap) -> io::Result<Response<Body>> {
    let mut file = tokio::fs::File::from_std(file);
    let size = file.metadata().await?.len();
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, content_range, first, length) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, None, 0, size),
        Wanted::Part(part) => {
            (StatusCode::PARTIAL_CONTENT, Some(part.content_range(size)), part.first, part.len())
        }
        Wanted::Unsatisfiable => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(header::CONTENT_RANGE, text(&format!("bytes */{size}")));
            return Ok(response);
        }
    };
    file.seek(io::SeekFrom::Start(first)).await?;
    let chunks = ReaderStream::with_capacity(file.take(length), CHUNK_BYTES).map_ok(Frame::data);
    let mut response = Response::new(Either::Left(StreamBody::new(Box::pin(chunks) as _)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(range) = content_range {
        headers.insert(header::CONTENT_RANGE, text(&range));
    }
    Ok(response)
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and a unit are a header's text")
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}
