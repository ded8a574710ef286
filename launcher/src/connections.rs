//! Serving connections of a listener until told to stop: what the servers of a launcher have in common.
//!
//! Guarantees a bound on connections, and that all of them have ended when this returns.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How a server treats its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// For log lines.
    pub server: &'static str,
    /// Connections at once; more wait in the kernel's queue.
    pub most: usize,
    /// How long open connections may take after the stop.
    pub drain: Duration,
}

/// Accepts until `stop`; what is open then gets the drain time.
pub(crate) async fn serve<F, C, E>(listener: TcpListener, terms: Terms, stop: CancellationToken, open: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display,
{
    let permits = Arc::new(Semaphore::new(terms.most));
    let connections = TaskTracker::new();
    let end = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: no file descriptor is free. One is, soon.
                tracing::warn!(server = terms.server, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = open(stream);
        let end = end.clone();
        connections.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(server = terms.server, %error, "a connection ended early");
                },
                () = end.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(terms.drain, connections.wait()).await.is_err() {
        end.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}
