//! GPUs whose sample counter stands still: their numbers may be anything by now, and never mean "idle".

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use cyberbrain_core::{
    ids::GpuUuid,
    watch::{SILENT_AFTER, Watch},
};

/// What the reaper knows of the samples and the tick asks for. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StaleGpus(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    watch: Watch<GpuUuid>,
    stale: BTreeSet<GpuUuid>,
}

impl StaleGpus {
    /// Feeds one successful read of the sample counters.
    pub(super) fn read(&self, instant_ms: u64, samples: &[(GpuUuid, i64)]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.watch.read(instant_ms, samples);
        known.stale = samples
            .iter()
            .filter(|(gpu, _)| known.watch.silence(gpu) >= SILENT_AFTER)
            .map(|(gpu, _)| gpu.clone())
            .collect();
    }

    /// Those that are stale as of the last read.
    #[must_use]
    pub fn get(&self) -> BTreeSet<GpuUuid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stale.clone()
    }
}
