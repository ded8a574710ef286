//! The seed score and what is effectively free on a card.
//!
//! NVML alone double-books while containers are still allocating, and the ledger alone is blind to strangers;
//! `effective_free_mib` joins both.

use super::problem::{Gpu, Safety};

/// `0.6 * (1 - free/total) + 0.4 * utilization/100`; lower is better. `None` for a card without memory: it is
/// excluded, not scored.
#[must_use]
pub fn seed_score(total_mib: u32, free_mib: u32, utilization_percent: u32) -> Option<f64> {
    if total_mib == 0 {
        return None;
    }
    let headroom = f64::from(free_mib.min(total_mib)) / f64::from(total_mib);
    let busy = f64::from(utilization_percent.min(100)) / 100.0;
    Some(0.6 * (1.0 - headroom) + 0.4 * busy)
}

/// What may still be promised on a card, in MiB: `total - Σ max(reserved, seen) - foreign - safety`.
#[must_use]
pub fn effective_free_mib(gpu: &Gpu, safety: Safety) -> u32 {
    free_beside(gpu, gpu.reserved_mib, safety)
}

/// The same with another ledger, for a plan that has given away more by now.
pub(super) fn free_beside(gpu: &Gpu, reserved_mib: u32, safety: Safety) -> u32 {
    gpu.total_mib
        .saturating_sub(reserved_mib)
        .saturating_sub(gpu.overshoot_mib)
        .saturating_sub(gpu.foreign_mib)
        .saturating_sub(safety_mib(gpu, safety))
}

/// The most that this card can ever give to stated requests, in MiB.
pub(super) fn ceiling_mib(gpu: &Gpu, safety: Safety) -> u32 {
    gpu.total_mib.saturating_sub(safety_mib(gpu, safety)).min(gpu.allocatable_mib)
}

/// `min(100, max(observed, expected of what is not seen yet))`; a card that does not tell is taken as busy.
pub(super) fn utilization_percent(gpu: &Gpu, expected_percent: u32) -> u32 {
    gpu.utilization_percent.unwrap_or(100).max(expected_percent).min(100)
}

fn safety_mib(gpu: &Gpu, safety: Safety) -> u32 {
    let share = u64::from(gpu.total_mib) * u64::from(safety.percent) / 100;
    safety.at_least_mib.max(u32::try_from(share).unwrap_or(u32::MAX))
}
