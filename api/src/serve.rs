//! Serves connections until it is told to stop, then lets the open ones finish.
//!
//! Bounds what axum's own loop does not: the number of connections, the time until a request's head is there, and the
//! time that a client reads nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use cyberbrain_common::stall::StallLimit;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// From the first byte of a request, or the last one of the request before, to the end of its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may read nothing of its answer.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long open requests may take after the stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a client may take for its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop`, with TLS or in the clear. Connections that are busy then get ten seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: &CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connections = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: no file descriptor is free. One is, soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
        let stream = StallLimit::new(stream, STALL_LIMIT);
        let (http, watcher) = (http.clone(), connections.watcher());
        let tls = tls.clone();
        tokio::spawn(async move {
            let ended = match tls {
                None => watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await,
                Some(tls) => match timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await
                    }
                    Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => return tracing::debug!("a TLS handshake took too long"),
                },
            };
            if let Err(error) = ended {
                // Clients that go away are no news.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!(waited_seconds = DRAIN.as_secs(), "some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    // Answers are small: don't hold them back.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, permit))
}
