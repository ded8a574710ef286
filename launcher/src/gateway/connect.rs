//! Connections to endpoints. The address that is connected to is held to the endpoint's reach, not its name.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cyberbrain_common::db::llm_calls::CallFailure;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Uri;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tower::Service;

use super::{reach::Reach, tls::Stream};

/// Shorter than endpoints keep idle connections: five seconds is common.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
const IDLE_CONNECTIONS: usize = 64;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

pub(super) type EndpointClient = Client<Connector, Full<Bytes>>;

/// Makes connections to one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    reach: Reach,
    limit: Duration,
    /// `None`: in the clear.
    tls: Option<Arc<ClientConfig>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("all addresses of the endpoint are outside this machine and private networks")]
    NotLocal,
    #[error("the endpoint could not be connected to in time")]
    Timeout,
    #[error("the endpoint can't be connected to")]
    Failed(#[from] io::Error),
    #[error("there is no TLS with the endpoint that we trust")]
    Tls(#[source] io::Error),
}

/// A client that keeps connections to one endpoint.
pub(super) fn client(reach: Reach, limit: Duration, tls: Option<Arc<ClientConfig>>) -> EndpointClient {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_timer(TokioTimer::new())
        .build(Connector { reach, limit, tls })
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Self { reach, limit, tls } = self.clone();
        Box::pin(async move {
            let opened = timeout(limit, open(&url, reach, tls)).await.map_err(|_| ConnectError::Timeout)?;
            Ok(TokioIo::new(opened?))
        })
    }
}

/// A connection, with its handshake.
async fn open(url: &Uri, reach: Reach, tls: Option<Arc<ClientConfig>>) -> Result<Stream, ConnectError> {
    let Some(config) = tls else { return connect(url, reach, HTTP_PORT).await.map(Stream::Plain) };
    let stream = connect(url, reach, HTTPS_PORT).await?;
    let name = ServerName::try_from(host(url).to_owned())
        .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(ConnectError::Tls)?;
    Ok(Stream::Tls(Box::new(stream)))
}

fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

async fn connect(url: &Uri, reach: Reach, usual_port: u16) -> Result<TcpStream, ConnectError> {
    let (host, port) = (host(url), url.port_u16().unwrap_or(usual_port));
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup_host((host, port)).await?.collect(),
    };
    let mut problem = ConnectError::NotLocal;
    for address in addresses.into_iter().filter(|address| reach.allows(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => problem = ConnectError::Failed(error),
        }
    }
    Err(problem)
}

/// What a failed request is recorded as.
pub(super) fn failure_of(error: &legacy::Error) -> CallFailure {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::NotLocal => CallFailure::AddressRefused,
                ConnectError::Timeout => CallFailure::ConnectTimeout,
                ConnectError::Failed(_) => CallFailure::Unreachable,
                ConnectError::Tls(_) => CallFailure::TlsFailed,
            };
        }
        source = error.source();
    }
    CallFailure::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_connected_to_only_at_an_address_within_reach() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let by_name: Uri = format!("http://localhost:{port}/v1").parse().unwrap();
        connect(&by_name, Reach::LocalOnly, HTTP_PORT).await.expect("localhost is here");
        // What a name that was pointed elsewhere looks like to the connector.
        let elsewhere: Uri = "http://203.0.113.7:9/v1".parse().unwrap();
        let refused = connect(&elsewhere, Reach::LocalOnly, HTTP_PORT).await.unwrap_err();
        assert!(matches!(refused, ConnectError::NotLocal), "{refused:?}");
    }
}
