//! Whose memory a GPU's memory is: pure.
//!
//! Where the driver tells the memory of each process, what our containers use and what strangers use is told apart.
//! Where it does not, everything beyond our reservations counts as ours: adding the whole use to the reservations would
//! count every running worker twice.

use std::collections::BTreeMap;

use cyberbrain_common::db::gpus::{Observed, Reserved};
use cyberbrain_core::ids::AttemptId;

use crate::{gpu::GpuSample, runtime::ContainerId};

/// Attributes one sample; `None` if the card does not tell its used memory.
pub(super) fn attribute(
    sample: &GpuSample,
    ours: &BTreeMap<ContainerId, AttemptId>,
    reservations: &[Reserved],
) -> Option<Observed> {
    let used_mib = sample.used_mib?;
    let reserved: BTreeMap<AttemptId, u32> = reservations
        .iter()
        .filter(|reserved| reserved.gpu == sample.uuid)
        .map(|reserved| (reserved.attempt, reserved.reserved_mib))
        .collect();
    let (overshoot_mib, foreign_mib) = match by_attempt(sample, ours) {
        Some(seen) => {
            let known: u32 = seen.values().sum();
            let overshoot = seen
                .iter()
                .map(|(attempt, seen)| seen.saturating_sub(reserved.get(attempt).copied().unwrap_or(0)))
                .sum();
            (overshoot, used_mib.saturating_sub(known))
        }
        None => (used_mib.saturating_sub(reserved.values().sum()), 0),
    };
    Some(Observed {
        gpu_uuid: sample.uuid.clone(),
        used_mib,
        overshoot_mib,
        foreign_mib,
        utilization_percent: sample.utilization_percent,
        temperature_celsius: sample.temperature_celsius.and_then(|celsius| i16::try_from(celsius).ok()),
        power_milliwatts: sample.power_milliwatts,
        throttle_reasons: sample.throttle.map(cyberbrain_core::staging::ThrottleReasons::bits),
        ecc_corrected: sample.corrected_ecc_errors,
        ecc_uncorrected: sample.uncorrected_ecc_errors,
    })
}

/// Memory seen per attempt of ours; `None` if any process's memory is not told.
fn by_attempt(
    sample: &GpuSample,
    ours: &BTreeMap<ContainerId, AttemptId>,
) -> Option<BTreeMap<AttemptId, u32>> {
    let mut seen = BTreeMap::new();
    for process in sample.processes.as_ref()? {
        let used = process.used_mib?;
        if let Some(attempt) = process.container.as_ref().and_then(|container| ours.get(container)) {
            *seen.entry(*attempt).or_insert(0_u32) += used;
        }
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use cyberbrain_core::ids::GpuUuid;
    use uuid::Uuid;

    use super::*;
    use crate::gpu::{GpuHealth, GpuProcess};

    const OURS: &str = "aaaa";

    fn sample(used: Option<u32>, processes: Option<&[(&str, Option<u32>)]>) -> GpuSample {
        GpuSample {
            uuid: GpuUuid::new("GPU-1"),
            health: GpuHealth::Healthy,
            used_mib: used,
            utilization_percent: Some(50),
            temperature_celsius: None,
            power_milliwatts: None,
            throttle: None,
            corrected_ecc_errors: None,
            uncorrected_ecc_errors: None,
            processes: processes.map(|processes| {
                let process = |&(container, used_mib): &(&str, Option<u32>)| GpuProcess {
                    pid: Some(1),
                    container: (!container.is_empty()).then(|| ContainerId::new(container)),
                    used_mib,
                };
                processes.iter().map(process).collect()
            }),
            xids: Vec::new(),
        }
    }

    #[test]
    fn strangers_and_overshoot_are_told_apart() {
        let attempt = AttemptId::from(Uuid::from_u128(1));
        let ours = BTreeMap::from([(ContainerId::new(OURS), attempt)]);
        let reserve = |gpu: &str, reserved_mib| Reserved { gpu: GpuUuid::new(gpu), attempt, reserved_mib };
        let reservations = [reserve("GPU-1", 8_000), reserve("GPU-2", 1_000)];
        for (what, sample, overshoot, foreign) in [
            ("idle", sample(Some(0), Some(&[])), 0, 0),
            ("within", sample(Some(5_000), Some(&[(OURS, Some(5_000))])), 0, 0),
            ("beyond", sample(Some(9_500), Some(&[(OURS, Some(9_500))])), 1_500, 0),
            (
                "two processes",
                sample(Some(9_000), Some(&[(OURS, Some(4_500)), (OURS, Some(4_500))])),
                1_000,
                0,
            ),
            (
                "a stranger",
                sample(Some(7_000), Some(&[(OURS, Some(5_000)), ("bbbb", Some(2_000))])),
                0,
                2_000,
            ),
            ("outside of containers", sample(Some(2_000), Some(&[("", Some(2_000))])), 0, 2_000),
            ("not allocated yet, a stranger", sample(Some(6_000), Some(&[("", Some(6_000))])), 0, 6_000),
            ("not told per process", sample(Some(9_000), Some(&[(OURS, None)])), 1_000, 0),
            ("no processes told", sample(Some(5_000), None), 0, 0),
        ] {
            let observed = attribute(&sample, &ours, &reservations).unwrap();
            assert_eq!((observed.overshoot_mib, observed.foreign_mib), (overshoot, foreign), "{what}");
        }
        assert_eq!(attribute(&sample(None, None), &ours, &reservations), None);
    }
}
