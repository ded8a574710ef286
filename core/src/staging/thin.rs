//! Fewer samples where there are too many to hand over.

use super::GpuSample;

/// Most samples in one `gpu.json`, over all GPUs: a day of 13 of them is staged whole.
pub const MAX_STAGED_SAMPLES: usize = 120_000;
/// However many GPUs there are, each has at least so many samples, if it has as many.
const MIN_PER_GPU: usize = 60;
/// What one stretch is told by: its least and its most busy sample, and its most slowed one.
const PER_STRETCH: usize = 3;

/// How many samples each of so many GPUs may have.
#[must_use]
pub fn samples_per_gpu(gpus: usize) -> usize {
    (MAX_STAGED_SAMPLES / gpus.max(1)).max(MIN_PER_GPU)
}

/// Cuts samples, which are in order of time, to at most `limit`, and says how many are left out.
///
/// All that stay were observed: of each stretch of neighbours the least and the most busy one, and one whose clocks were held
/// down if there was any. So extremes and faults stay true, while means and times are those of the samples that are left. The
/// first and the last one stay, so that counters of errors keep their rise.
#[must_use]
pub fn thin(samples: Vec<GpuSample>, limit: usize) -> (Vec<GpuSample>, u64) {
    let all = samples.len();
    if all <= limit {
        return (samples, 0);
    }
    let stretches = (limit.saturating_sub(2) / PER_STRETCH).max(1);
    let mut kept: Vec<usize> = vec![0, all - 1];
    for part in 0..stretches {
        let stretch = all * part / stretches..all * (part + 1) / stretches;
        let busy = |at: &usize| (samples[*at].utilization_percent, samples[*at].used_mib);
        let slow = |at: &usize| samples[*at].throttle.is_some_and(super::ThrottleReasons::slow);
        kept.extend(stretch.clone().min_by_key(busy));
        kept.extend(stretch.clone().max_by_key(busy));
        kept.extend(stretch.clone().find(slow));
    }
    kept.sort_unstable();
    kept.dedup();
    let left_out = (all - kept.len()) as u64;
    (kept.into_iter().map(|at| samples[at]).collect(), left_out)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::{super::ThrottleReasons, *};

    fn sample(second: usize, percent: Option<u8>, used_mib: u32, bits: u64) -> GpuSample {
        GpuSample {
            at: DateTime::from_timestamp(1_700_000_000 + second as i64, 0).unwrap(),
            used_mib,
            reserved_mib: 0,
            foreign_mib: 0,
            utilization_percent: percent,
            temperature_c: None,
            throttle: Some(ThrottleReasons::from_bits(bits)),
            ecc_corrected: None,
            ecc_uncorrected: None,
        }
    }

    #[test]
    fn a_day_of_64_gpus_stays_below_its_cap() {
        let limit = samples_per_gpu(64);
        let day: Vec<GpuSample> = (0..8_640)
            .map(|at| sample(at * 10, Some((at % 101) as u8), 81_559, if at == 5_000 { 0x40 } else { 0 }))
            .collect();
        let (kept, left_out) = thin(day, limit);
        assert!(kept.len() <= limit && kept.len() > limit / 2, "{} of {limit}", kept.len());
        assert_eq!(kept.len() as u64 + left_out, 8_640);
        let bytes = serde_json::to_vec(&kept).unwrap().len() * 64;
        assert!(bytes < 24 << 20, "{bytes} bytes for 64 GPUs");
        assert!(kept.iter().any(|sample| sample.throttle.unwrap().slow()), "the one slow sample stays");
        assert_eq!(samples_per_gpu(13), 9_230, "a day of 13 is whole");
    }

    proptest! {
        #[test]
        fn extremes_ends_and_order_stay(
            seen in proptest::collection::vec((proptest::option::of(0_u8..=100), 0_u32..9), 0..400),
            limit in 5_usize..100,
        ) {
            let all: Vec<GpuSample> =
                seen.iter().enumerate().map(|(at, (percent, used))| sample(at, *percent, *used, 0)).collect();
            let (kept, left_out) = thin(all.clone(), limit);
            prop_assert!(kept.len() <= limit);
            prop_assert_eq!(kept.len() as u64 + left_out, all.len() as u64);
            prop_assert!(kept.windows(2).all(|pair| pair[0].at < pair[1].at));
            prop_assert_eq!(kept.first(), all.first());
            prop_assert_eq!(kept.last(), all.last());
            let most = |samples: &[GpuSample]| samples.iter().map(|sample| sample.utilization_percent).max();
            prop_assert_eq!(most(&kept), most(&all));
        }
    }
}
