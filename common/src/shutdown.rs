//! When a process is to end: SIGTERM or SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Errors
/// When the signal handlers can't be installed.
pub fn token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let signalled = token.clone();
    tokio::spawn(async move {
        let mut received = 0;
        while received < 2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            received += 1;
            signalled.cancel();
        }
        tracing::warn!("second signal: ending without waiting");
        std::process::exit(130);
    });
    Ok(token)
}
