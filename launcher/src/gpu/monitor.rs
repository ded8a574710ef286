//! `GpuMonitor`: one probe on a thread of its own, and how old its last word is.
//!
//! The thread may hang inside a driver for ever; then nothing else hangs, no reading comes, and after three
//! periods the last one counts as stale. Stale never means idle.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Gpu, GpuProbe, GpuSample, Inventory, ProbeStatus};

/// How often the inventory is taken again, or every 20 periods if that is sooner; also how often a missing
/// driver is looked for.
const INVENTORY_EVERY: Duration = Duration::from_secs(60);
/// So many periods without a reading are too many.
const PERIODS_UNTIL_STALE: u32 = 3;

/// What was seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Rises by one with each reading of this monitor, from 1.
    pub sequence: u64,
    pub at: DateTime<Utc>,
    pub status: ProbeStatus,
    /// Also there when they are not sampled.
    pub gpus: Vec<Gpu>,
    /// One per GPU while the status is ready; empty otherwise.
    pub samples: Vec<GpuSample>,
}

/// The last reading and whether it still counts.
#[derive(Debug, Clone)]
pub enum Latest {
    Fresh(Arc<Reading>),
    /// The probe has been silent for this long; absent if it never said anything.
    Stale {
        last: Option<Arc<Reading>>,
        silent_for: Duration,
    },
}

#[derive(Debug, Clone)]
struct Seen {
    reading: Option<Arc<Reading>>,
    since: Instant,
}

/// Runs a probe until it is dropped.
#[derive(Debug)]
pub struct GpuMonitor {
    seen: watch::Receiver<Seen>,
    period: Duration,
    /// Its end tells the thread to stop.
    _running: mpsc::Sender<()>,
}

impl GpuMonitor {
    /// Starts the thread. The probe is opened on it, since that may hang too.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        open: impl FnOnce() -> Box<dyn GpuProbe> + Send + 'static,
        period: Duration,
    ) -> std::io::Result<Self> {
        let (sender, seen) = watch::channel(Seen { reading: None, since: Instant::now() });
        let (running, stopped) = mpsc::channel();
        thread::Builder::new()
            .name("gpu-probe".to_owned())
            .spawn(move || watch_gpus(open().as_mut(), period, &sender, &stopped))?;
        Ok(Self { seen, period, _running: running })
    }

    /// The last reading, and whether it is recent enough to act on.
    #[must_use]
    pub fn latest(&self) -> Latest {
        let Seen { reading, since } = self.seen.borrow().clone();
        let silent_for = since.elapsed();
        match reading {
            Some(reading) if silent_for <= self.period * PERIODS_UNTIL_STALE => Latest::Fresh(reading),
            last => Latest::Stale { last, silent_for },
        }
    }

    /// Waits for the next reading; `None` once the probe's thread is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Reading>> {
        self.seen.changed().await.ok()?;
        self.seen.borrow_and_update().reading.clone()
    }
}

fn watch_gpus(
    probe: &mut dyn GpuProbe,
    period: Duration,
    to: &watch::Sender<Seen>,
    stopped: &mpsc::Receiver<()>,
) {
    let mut inventory = probe.inventory();
    let mut inventory_at = Instant::now();
    report(&inventory);
    for sequence in 1.. {
        let mut samples = Vec::new();
        if inventory.status.is_ready() {
            match probe.sample() {
                Ok(seen) => samples = seen,
                Err(status) => {
                    // What was there stays known; it is only not seen any more.
                    inventory.status = status;
                    report(&inventory);
                }
            }
        }
        let reading = Reading {
            sequence,
            at: Utc::now(),
            status: inventory.status.clone(),
            gpus: inventory.gpus.clone(),
            samples,
        };
        to.send_replace(Seen { reading: Some(Arc::new(reading)), since: Instant::now() });
        match stopped.recv_timeout(period) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if inventory_at.elapsed() >= INVENTORY_EVERY.min(period * 20) {
            let found = probe.inventory();
            inventory_at = Instant::now();
            // A driver that is gone does not unmake the cards.
            let gpus = if found.status.is_ready() { found.gpus } else { inventory.gpus };
            let changed = found.status != inventory.status;
            inventory = Inventory { status: found.status, gpus };
            if changed {
                report(&inventory);
            }
        }
    }
}

/// Once per change, not once per period.
fn report(inventory: &Inventory) {
    let gpus = inventory.gpus.len();
    match &inventory.status {
        ProbeStatus::Ready { driver_version } => tracing::info!(gpus, driver_version, "gpu driver answers"),
        ProbeStatus::Simulated => tracing::info!(gpus, "gpus are simulated"),
        ProbeStatus::Off => tracing::info!("gpus are switched off"),
        ProbeStatus::NoLibrary => tracing::info!("no gpu driver on this host"),
        status @ (ProbeStatus::DriverNotLoaded
        | ProbeStatus::VersionMismatch
        | ProbeStatus::NoPermission
        | ProbeStatus::Failed { .. }) => tracing::warn!(gpus, ?status, "gpus can't be seen"),
    }
}
