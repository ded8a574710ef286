//! What slowed a card and what went wrong on it.

use cyberbrain_core::{
    outcome::Throttled,
    staging::{GpuSample, ThrottleReason, XidEvent, XidSeverity, xid_severity},
};

/// Samples by what held the clocks down; `None` if no sample tells.
pub fn throttled(samples: &[GpuSample]) -> Option<Throttled> {
    let mut told = None;
    for reasons in samples.iter().filter_map(|sample| sample.throttle) {
        let out: &mut Throttled = told.get_or_insert_default();
        let any = |wanted: fn(ThrottleReason) -> bool| u64::from(reasons.iter().any(wanted));
        out.samples += u64::from(reasons.slow());
        out.power += any(by_power);
        out.heat += any(by_heat);
        out.hardware += any(by_hardware);
        out.sync_boost += any(|reason| reason == ThrottleReason::SyncBoost);
    }
    told
}

const fn by_power(reason: ThrottleReason) -> bool {
    matches!(reason, ThrottleReason::PowerCap | ThrottleReason::PowerBrake)
}

const fn by_heat(reason: ThrottleReason) -> bool {
    matches!(reason, ThrottleReason::ThermalSlowdown | ThrottleReason::HardwareThermalSlowdown)
}

const fn by_hardware(reason: ThrottleReason) -> bool {
    matches!(
        reason,
        ThrottleReason::HardwareSlowdown
            | ThrottleReason::HardwareThermalSlowdown
            | ThrottleReason::PowerBrake
    )
}

/// How far a counter rose over the samples that tell it. A counter that fell began again at zero with its driver.
pub fn rise(counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let mut last = None;
    let mut sum = 0_u64;
    for count in counts.flatten() {
        if let Some(last) = last {
            sum = sum.saturating_add(if count >= last { count - last } else { count });
        }
        last = Some(count);
    }
    last.map(|_| sum)
}

/// How many of them are the card's and no program's.
pub fn hardware(xids: &[XidEvent]) -> u64 {
    xids.iter().filter(|event| xid_severity(event.xid.into()) == XidSeverity::Hardware).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_rise_and_begin_again() {
        let rise = |counts: &[Option<u64>]| rise(counts.iter().copied());
        assert_eq!(rise(&[]), None);
        assert_eq!(rise(&[None, None]), None);
        assert_eq!(rise(&[Some(7)]), Some(0), "what was before the window is not of it");
        assert_eq!(rise(&[Some(7), None, Some(9), Some(9)]), Some(2));
        assert_eq!(rise(&[Some(7), Some(9), Some(1), Some(2)]), Some(4), "2, then 1 of a new driver, then 1");
    }
}
