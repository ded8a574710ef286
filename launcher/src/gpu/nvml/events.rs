//! Critical errors (XIDs), which the driver only tells to whoever waits for them.
//!
//! The wait blocks, so it has a thread of its own. The driver keeps the last error only: of several within
//! one wait, the earlier ones are lost.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use cyberbrain_core::ids::GpuUuid;
use nvml_wrapper::{
    Nvml, bitmasks::event::EventTypes, enums::event::XidError, error::NvmlError, event::EventSet,
};

use super::parent_of;
use crate::gpu::Gpu;

/// How long one wait lasts, and so how long the end of the thread takes.
const WAIT_MS: u32 = 1_000;
/// Errors that may wait to be fetched; more of them say nothing new.
const MAX_PENDING: usize = 256;
/// What the driver reports where it does not know which error it was.
const UNKNOWN_XID: u64 = 999;

type Pending = Arc<Mutex<VecDeque<(GpuUuid, u64)>>>;

/// Waits for the errors of a set of cards.
#[derive(Debug, Default)]
pub(super) struct XidWatch {
    pending: Pending,
    watched: Vec<GpuUuid>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl XidWatch {
    /// Sees to it that exactly these are waited for. Cards that can't tell errors are left out.
    pub(super) fn watch(&mut self, nvml: &Arc<Nvml>, gpus: &[Gpu]) {
        let mut cards: Vec<GpuUuid> =
            gpus.iter().map(|gpu| parent_of(gpu).unwrap_or(&gpu.uuid).clone()).collect();
        cards.dedup();
        let alive = self.waiting.as_ref().is_some_and(|waiting| !waiting.thread.is_finished());
        if alive && cards == self.watched {
            return;
        }
        self.end();
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = {
            let (nvml, cards, stop) = (Arc::clone(nvml), cards.clone(), Arc::clone(&stop));
            let pending = Arc::clone(&self.pending);
            std::thread::Builder::new().name("gpu-events".to_owned()).spawn(move || {
                if let Err(error) = wait(&nvml, &cards, &stop, &pending) {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "gpu errors are not waited for"
                    );
                }
            })
        };
        match waiting {
            Ok(thread) => self.waiting = Some(Waiting { stop, thread }),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "gpu errors can't be waited for");
            }
        }
        self.watched = cards;
    }

    /// What was reported since the last call.
    pub(super) fn drain(&self) -> Vec<(GpuUuid, u64)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Joins, so that the library is closed by the time it is loaded again.
    fn end(&mut self) {
        if let Some(Waiting { stop, thread }) = self.waiting.take() {
            stop.store(true, Ordering::Relaxed);
            // It can't have panicked: it has nothing to panic about.
            let _ = thread.join();
        }
    }
}

impl Drop for XidWatch {
    fn drop(&mut self) {
        self.end();
    }
}

fn wait(nvml: &Nvml, cards: &[GpuUuid], stop: &AtomicBool, pending: &Pending) -> Result<(), NvmlError> {
    let events = register(nvml, cards)?;
    while !stop.load(Ordering::Relaxed) {
        let event = match events.wait(WAIT_MS) {
            Ok(event) => event,
            Err(NvmlError::Timeout) => continue,
            // The next inventory starts this thread again.
            Err(error) => return Err(error),
        };
        let xid = match event.event_data {
            Some(XidError::Value(xid)) => xid,
            Some(XidError::Unknown) => UNKNOWN_XID,
            None => continue,
        };
        // A card that fell off the bus may not even tell its name any more.
        let Ok(uuid) = event.device.uuid() else { continue };
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() == MAX_PENDING {
            pending.pop_front();
        }
        pending.push_back((GpuUuid::new(uuid), xid));
    }
    Ok(())
}

fn register<'nvml>(nvml: &'nvml Nvml, cards: &[GpuUuid]) -> Result<EventSet<'nvml>, NvmlError> {
    let mut events = nvml.create_event_set()?;
    let mut registered = 0_usize;
    for card in cards {
        let Ok(device) = nvml.device_by_uuid(card.as_str()) else { continue };
        let Ok(supported) = device.supported_event_types() else { continue };
        if !supported.contains(EventTypes::CRITICAL_XID_ERROR) {
            continue;
        }
        events =
            device.register_events(EventTypes::CRITICAL_XID_ERROR, events).map_err(|error| error.error)?;
        registered += 1;
    }
    if registered == 0 { Err(NvmlError::NotSupported) } else { Ok(events) }
}
