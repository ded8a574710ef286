//! `Remote`: the files of one host, through the file servers of its live launchers.

use std::{io, time::Duration};

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use cyberbrain_common::{
    byte_range::ByteRange,
    db::{Conn, instance, launchers},
    file_token::{self, Purpose},
};
use cyberbrain_core::ids::{HostId, RootId};
use futures::{Stream, stream};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::problem::{Kind, Problem};

/// How long a launcher may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long it may take to begin its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long it may send nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// When a client may ask again: a launcher that was started anew is there by then.
const RETRY_SECONDS: u32 = 5;

/// Where the files of a host can be read, as of now.
#[derive(Debug)]
pub(crate) struct Remote {
    servers: Vec<String>,
    secret: Vec<u8>,
}

/// What came of asking for a file.
pub(crate) enum Reading {
    Bytes {
        /// Of the whole file.
        size: u64,
        body: Incoming,
    },
    /// The file ends before the range begins.
    Beyond,
    Missing,
}

/// Why one launcher gave nothing. Another one may.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("its address can't be read")]
    Address,
    #[error("it does not answer in time")]
    Slow,
    #[error("it can't be reached")]
    Connect(#[source] io::Error),
    #[error("it breaks off")]
    Http(#[source] hyper::Error),
    #[error("it refuses our token; are the clocks of the machines right?")]
    Token,
    #[error("its answer has the status {0} or a head of another form")]
    Form(StatusCode),
}

impl Remote {
    /// Looks up the launchers of a host, or those that have this logs root.
    ///
    /// # Errors
    /// The problem `host-unreachable` when none of them lives.
    pub(crate) async fn of_host(
        connection: &mut Conn,
        host: HostId,
        root: Option<RootId>,
    ) -> Result<Self, Problem> {
        let servers = launchers::file_servers(connection, host, root).await?;
        if servers.is_empty() {
            return Err(unreachable());
        }
        Ok(Self { servers, secret: instance::read(connection).await?.secret })
    }

    /// Begins to read the file at this path below the logs root, from whichever launcher answers.
    ///
    /// # Errors
    /// The problem `host-unreachable` when none does.
    pub(crate) async fn read(
        &self,
        path: &str,
        purpose: Purpose,
        range: Option<ByteRange>,
    ) -> Result<Reading, Problem> {
        let mut missing = 0;
        for server in &self.servers {
            match self.ask(server, path, purpose, range).await {
                Ok(Reading::Missing) => missing += 1,
                Ok(reading) => return Ok(reading),
                Err(failure) => {
                    let error = &failure as &dyn std::error::Error;
                    tracing::warn!(server, error, "a launcher gives no file");
                }
            }
        }
        // Only if all of them say so: they share the directory.
        if missing == self.servers.len() { Ok(Reading::Missing) } else { Err(unreachable()) }
    }

    async fn ask(
        &self,
        server: &str,
        path: &str,
        purpose: Purpose,
        range: Option<ByteRange>,
    ) -> Result<Reading, Failure> {
        let server: Uri = server.parse().map_err(|_| Failure::Address)?;
        let authority = server.authority().ok_or(Failure::Address)?;
        let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| Failure::Slow)?.map_err(Failure::Connect)?;
        let target = format!(
            "{}{}{}",
            server.path().trim_end_matches('/'),
            file_token::ROUTE,
            file_token::encode_path(path)
        );
        let token = file_token::sign(&self.secret, path, purpose, std::time::SystemTime::now());
        let mut request = Request::get(target)
            .header(header::HOST, authority.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(range) = range {
            request = request.header(header::RANGE, range.header());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| Failure::Address)?;
        let answered = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Ends with the answer's body, read or dropped.
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let response = timeout(ANSWER_LIMIT, answered).await.map_err(|_| Failure::Slow)?;
        reading(response.map_err(Failure::Http)?)
    }
}

fn reading(response: Response<Incoming>) -> Result<Reading, Failure> {
    let status = response.status();
    let value = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let size = match status {
        StatusCode::NOT_FOUND => return Ok(Reading::Missing),
        StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Reading::Beyond),
        StatusCode::UNAUTHORIZED => return Err(Failure::Token),
        StatusCode::OK => value(header::CONTENT_LENGTH),
        StatusCode::PARTIAL_CONTENT => {
            value(header::CONTENT_RANGE).and_then(|range| Some(range.rsplit_once('/')?.1))
        }
        other => return Err(Failure::Form(other)),
    };
    let size = size.and_then(|size| size.parse().ok()).ok_or(Failure::Form(status))?;
    Ok(Reading::Bytes { size, body: response.into_body() })
}

/// The bytes of a body; an error when it breaks off or stands still.
pub(super) fn bytes(body: Incoming) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(body, |mut body| async move {
        loop {
            let frame = timeout(IDLE_LIMIT, body.frame()).await;
            let frame = frame.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                return Ok(Some((data, body)));
            }
        }
    })
}

fn unreachable() -> Problem {
    let detail = "no launcher of the host that has the file answers; the file is there when one runs again";
    Problem::new(Kind::HostUnreachable, detail).retry_after(RETRY_SECONDS)
}

impl Reading {
    /// The body of an answer that passes the bytes on; whatever `held` is, it is kept until they are through.
    pub(crate) fn into_body(body: Incoming, held: impl Send + 'static) -> axum::body::Body {
        use futures::StreamExt as _;
        axum::body::Body::from_stream(bytes(body).map(move |chunk| {
            let _ = &held;
            chunk
        }))
    }
}
