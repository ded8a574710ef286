//! The knobs of a scheduler.

use std::time::Duration;

use cyberbrain_core::placement;

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names the process for people who look at `apalis.workers`: `scheduler-<host>`.
    pub owner: String,
    pub placement: placement::Options,
    pub delivery: Delivery,
    /// How often the tables are scanned for what no wake-up was about.
    pub scan_every: Duration,
}

impl Options {
    /// The defaults, for a process of this name.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            placement: placement::Options::default(),
            delivery: Delivery::QueueAndScan,
            scan_every: Duration::from_secs(5),
        }
    }
}

/// How Runs and RunJobs come to the scheduler's attention. Each of the two ways is enough by itself; one is fast,
/// the other is the guarantee. Switching one off is for tests and for finding faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    QueueAndScan,
    QueueOnly,
    ScanOnly,
}

impl Delivery {
    pub(crate) const fn takes_queue(self) -> bool {
        match self {
            Self::QueueAndScan | Self::QueueOnly => true,
            Self::ScanOnly => false,
        }
    }

    pub(crate) const fn scans(self) -> bool {
        match self {
            Self::QueueAndScan | Self::ScanOnly => true,
            Self::QueueOnly => false,
        }
    }
}
