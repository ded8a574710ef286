//! What the supervisor of an attempt is told from outside, and the register of all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cyberbrain_common::db::{contact::Held, offers::Taken};
use cyberbrain_core::ids::{AttemptId, Fence, LauncherId};
use tokio::sync::watch;

use crate::guard::WatchedAttempt;

/// What a supervisor is to do. A later one outranks an earlier one and is never taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Continue,
    /// Somebody wants the RunJob cancelled.
    Cancel,
    /// This launcher ends and takes its workers with it.
    StopForExit,
    /// Touch nothing more: somebody else owns the attempt, or is about to.
    LetGo,
}

/// The supervisor must stop here, without touching anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LetGo;

/// A supervisor's ear.
#[derive(Debug, Clone)]
pub(crate) struct Orders(watch::Receiver<Order>);

impl Orders {
    /// An ear that hears nothing: for what is to be finished whatever happens.
    pub(crate) fn deaf() -> Self {
        Self(watch::channel(Order::Continue).1)
    }

    pub(crate) fn current(&self) -> Order {
        *self.0.borrow()
    }

    /// Waits for an order above `level`. Pending for ever if none comes. Cancel-safe.
    pub(crate) async fn above(&mut self, level: Order) -> Order {
        let order = self.0.wait_for(|order| *order > level).await.ok().map(|order| *order);
        match order {
            Some(order) => order,
            // Nobody is left to order anything.
            None => std::future::pending().await,
        }
    }

    /// Waits for [`Order::LetGo`].
    pub(crate) async fn let_go(&mut self) {
        self.above(Order::StopForExit).await;
    }
}

struct Entry {
    taken: Taken,
    /// What the guard has to know.
    watched: WatchedAttempt,
    orders: watch::Sender<Order>,
    /// Its outcome is stored; only clearing up is left.
    settled: bool,
}

/// Every attempt that this launcher drives.
pub(crate) struct Register {
    launcher: LauncherId,
    entries: Mutex<HashMap<(AttemptId, Fence), Entry>>,
    /// Tells whoever waits for the last one to end.
    count: watch::Sender<usize>,
}

impl Register {
    pub(crate) fn new(launcher: LauncherId) -> Self {
        Self { launcher, entries: Mutex::default(), count: watch::Sender::new(0) }
    }

    /// Enters an attempt; it leaves when the returned guard is dropped, also by a panic.
    pub(crate) fn enter(
        self: &Arc<Self>,
        taken: Taken,
        watched: WatchedAttempt,
        first: Order,
    ) -> (Orders, Entered) {
        let (orders, ear) = watch::channel(first);
        let count = {
            let mut entries = self.lock();
            entries.insert((taken.attempt, taken.fence), Entry { taken, watched, orders, settled: false });
            entries.len()
        };
        self.count.send_replace(count);
        (Orders(ear), Entered { register: Arc::clone(self), taken })
    }

    /// Tells of every attempt that enters or leaves.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn drives(&self, attempt: AttemptId) -> bool {
        self.lock().keys().any(|(id, _)| *id == attempt)
    }

    /// The attempts that have no outcome yet.
    pub(crate) fn unsettled(&self) -> Vec<Taken> {
        self.lock().values().filter(|entry| !entry.settled).map(|entry| entry.taken).collect()
    }

    /// The same, as the contact statement wants them.
    pub(crate) fn held(&self) -> Vec<Held> {
        let launcher = self.launcher;
        let held = |taken: Taken| Held { launcher, attempt: taken.attempt, fence: taken.fence };
        self.unsettled().into_iter().map(held).collect()
    }

    /// What the guard has to know of all of them.
    pub(crate) fn watched(&self) -> Vec<WatchedAttempt> {
        self.lock().values().map(|entry| entry.watched).collect()
    }

    /// The outcome of this attempt is stored.
    pub(crate) fn settle(&self, taken: Taken) {
        if let Some(entry) = self.lock().get_mut(&(taken.attempt, taken.fence)) {
            entry.settled = true;
        }
    }

    /// Gives an order about one attempt, under the fence that was held when the reason for it was seen.
    pub(crate) fn order(&self, held: (AttemptId, Fence), order: Order) {
        if let Some(entry) = self.lock().get(&held) {
            raise(&entry.orders, order);
        }
    }

    pub(crate) fn order_all(&self, order: Order) {
        for entry in self.lock().values() {
            raise(&entry.orders, order);
        }
    }

    /// Waits until nothing is driven.
    pub(crate) async fn empty(&self) {
        // The sender is here.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn leave(&self, taken: Taken) {
        let count = {
            let mut entries = self.lock();
            entries.remove(&(taken.attempt, taken.fence));
            entries.len()
        };
        self.count.send_replace(count);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(AttemptId, Fence), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(orders: &watch::Sender<Order>, order: Order) {
    orders.send_if_modified(|current| {
        let higher = order > *current;
        if higher {
            *current = order;
        }
        higher
    });
}

/// An attempt's place in the register.
pub(crate) struct Entered {
    register: Arc<Register>,
    taken: Taken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.register.leave(self.taken);
    }
}
