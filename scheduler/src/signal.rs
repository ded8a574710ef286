//! `Signal`: "look again", inside this process.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes one loop. Several wakes before the loop looks are one; none is lost.
#[derive(Debug, Clone, Default)]
pub struct Signal(Arc<Notify>);

impl Signal {
    /// Makes the loop look again. Never blocks.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for a wake. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
