//! Which endpoints failed a moment ago, and are tried last for a while.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::route::REST;

/// One entry per endpoint, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Health(Mutex<Vec<Option<Instant>>>);

impl Health {
    pub(super) fn new(endpoints: usize) -> Self {
        Self(Mutex::new(vec![None; endpoints]))
    }

    pub(super) fn is_resting(&self, index: usize) -> bool {
        self.lock().get(index).is_some_and(|until| until.is_some_and(|until| Instant::now() < until))
    }

    pub(super) fn failed(&self, index: usize) {
        self.set(index, Some(Instant::now() + REST));
    }

    pub(super) fn answered(&self, index: usize) {
        self.set(index, None);
    }

    fn set(&self, index: usize, until: Option<Instant>) {
        if let Some(entry) = self.lock().get_mut(index) {
            *entry = until;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
