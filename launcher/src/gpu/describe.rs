//! What `gpu list` prints: one inventory and one sample, as data.

use serde::Serialize;

use super::{GpuProbe, GpuSample, Inventory};

/// One inventory and one sample of everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    #[serde(flatten)]
    pub inventory: Inventory,
    pub samples: Vec<GpuSample>,
}

/// Looks once. Blocks as long as the driver does.
#[must_use]
pub fn describe(probe: &mut dyn GpuProbe) -> Description {
    let mut inventory = probe.inventory();
    let samples = if inventory.status.is_ready() {
        probe.sample().unwrap_or_else(|status| {
            inventory.status = status;
            Vec::new()
        })
    } else {
        Vec::new()
    };
    Description { inventory, samples }
}
