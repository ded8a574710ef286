//! Faults to order: what makes a simulated engine worth having.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::runtime::error::{EngineCall, Error};

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Timeout,
    Unreachable,
    Engine { status: u16 },
    ImageMissing,
    GpuRuntimeMissing,
    EntrypointInvalid,
}

/// Whether a failed call has its effect nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEffect {
    /// Nothing happened.
    None,
    /// It happened, and only the answer was lost. For [`Fault::Timeout`] and [`Fault::Unreachable`].
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Up,
    Cut,
}

/// The faults of one simulated engine.
#[derive(Debug)]
pub struct Faults {
    next: Mutex<HashMap<EngineCall, VecDeque<(Fault, FaultEffect)>>>,
    delays: Mutex<HashMap<EngineCall, Duration>>,
    line: watch::Sender<Line>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { next: Mutex::default(), delays: Mutex::default(), line: watch::Sender::new(Line::Up) }
    }
}

impl Faults {
    /// The next such call fails; several orders are carried out one by one.
    pub fn fail_next(&self, call: EngineCall, fault: Fault, effect: FaultEffect) {
        lock(&self.next).entry(call).or_default().push_back((fault, effect));
    }

    /// Every such call takes this much longer from now on.
    pub fn delay(&self, call: EngineCall, by: Duration) {
        lock(&self.delays).insert(call, by);
    }

    /// No call gets through any more, and waits break.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Calls get through again.
    pub fn mend(&self) {
        self.line.send_replace(Line::Up);
    }

    /// Carries out a call under the faults that were ordered for it.
    pub(super) async fn apply<T>(
        &self,
        call: EngineCall,
        subject: &str,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let delay = lock(&self.delays).get(&call).copied();
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        if *self.line.borrow() == Line::Cut {
            return Err(error(Fault::Unreachable, call, subject));
        }
        let fault = lock(&self.next).get_mut(&call).and_then(VecDeque::pop_front);
        match fault {
            None => act(),
            Some((fault, FaultEffect::None)) => Err(error(fault, call, subject)),
            Some((fault, FaultEffect::Done)) => {
                act()?;
                Err(error(fault, call, subject))
            }
        }
    }

    /// Returns once the line is cut.
    pub(super) async fn broken(&self) {
        let mut line = self.line.subscribe();
        // The sender lives in `self`.
        let _ = line.wait_for(|line| *line == Line::Cut).await;
    }
}

pub(super) fn error(fault: Fault, call: EngineCall, subject: &str) -> Error {
    let subject = subject.to_owned();
    let detail = "ordered by a test".to_owned();
    match fault {
        Fault::Timeout => Error::Timeout { call, subject, after: Duration::ZERO },
        Fault::Unreachable => {
            Error::Unreachable { call, subject, source: std::io::Error::other("the line is cut").into() }
        }
        Fault::Engine { status } => Error::Engine { call, subject, status, message: detail },
        Fault::ImageMissing => Error::ImageMissing { image: subject },
        Fault::GpuRuntimeMissing => Error::GpuRuntimeMissing { subject, detail },
        Fault::EntrypointInvalid => Error::EntrypointInvalid { subject, detail },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
