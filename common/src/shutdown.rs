//! When a role is to end: SIGTERM, SIGINT, or the end of whoever started it.

use std::io::Read;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::SupervisionArgs;

/// A token that is cancelled by the first SIGTERM or SIGINT, and with `--exit-with-parent` also when standard input
/// closes. A second signal ends the process at once.
///
/// # Errors
/// When the signal handlers can't be installed.
pub fn token(supervision: &SupervisionArgs) -> std::io::Result<CancellationToken> {
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
    if supervision.exit_with_parent {
        let orphaned = token.clone();
        // A thread of its own: a blocking read of standard input can't be cancelled.
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 64];
            while matches!(std::io::stdin().read(&mut buffer), Ok(n) if n > 0) {}
            orphaned.cancel();
        });
    }
    Ok(token)
}
