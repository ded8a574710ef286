//! Files: those of the hosts, read from the file server of a launcher, and uploads, kept here.
//!
//! Guarantees that every wait for another machine is bounded, that a transfer that stands still is given up, and that
//! no more than a fixed number of transfers and streams is open. Deliberately absent: a cache.

mod follow;
mod keep;
mod partial;
mod remote;
mod segments;
mod uploads;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use follow::{Follow, Position};
pub use keep::{KeepError, UploadKeeper};
pub(crate) use remote::{Reading, Remote};
pub(crate) use segments::Segments;
pub(crate) use uploads::Described;
pub use uploads::UploadStore;

use crate::problem::{Kind, Problem};

/// Downloads and uploads at once.
const TRANSFERS: usize = 64;
/// Logs that are followed at once.
const FOLLOWERS: usize = 64;
/// Streams of events at once.
const LISTENERS: usize = 256;

/// How many transfers and streams may be open.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    transfers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        }
    }
}

impl Slots {
    /// A place for a download or an upload, until it is dropped.
    pub(crate) fn transfer(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.transfers, TRANSFERS)
    }

    /// A place for a log that is followed, until it is dropped.
    pub(crate) fn follower(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.followers, FOLLOWERS)
    }

    /// A place for a stream of events, until it is dropped.
    pub(crate) fn listener(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.listeners, LISTENERS)
    }
}

fn take(slots: &Arc<Semaphore>, most: usize) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(slots).try_acquire_owned().map_err(|_| {
        let detail = format!("{most} are open already; ask again when one of them has ended");
        Problem::new(Kind::TooManyStreams, detail).retry_after(5)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_and_no_more_and_one_that_is_left_is_free() {
        let slots = Slots::default();
        let mut taken: Vec<_> = (0..FOLLOWERS).map(|_| slots.follower().unwrap()).collect();
        assert_eq!(slots.follower().unwrap_err().kind, Kind::TooManyStreams);
        assert!(slots.transfer().is_ok(), "they don't take each other's places");
        taken.pop();
        assert!(slots.follower().is_ok());
    }
}
