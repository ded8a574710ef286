//! Serves connections until it is told to stop, then lets the open ones finish.
//!
//! Bounds what axum's own loop does not: the number of connections, the time until a request's head is there, and the
//! time that a client reads nothing.

use std::{sync::Arc, time::Duration};

use axum::Router;
use cyberbrain_common::stall::StallLimit;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// From the first byte of a request, or the last one of the request before, to the end of its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may read nothing of its answer.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long open requests may take after the stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `stop`. Connections that are busy then get ten seconds.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connections = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: no file descriptor is free. One is, soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = connections
            .watch(http.serve_connection(TokioIo::new(StallLimit::new(stream, STALL_LIMIT)), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Clients that go away are no news.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!(waited_seconds = DRAIN.as_secs(), "some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    // Answers are small: don't hold them back.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}
