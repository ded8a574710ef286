//! Fewer samples where there are too many to hand over.

use super::GpuSample;

/// Most samples in one `gpu.json`, over all GPUs: a day of 13 of them is staged whole.
pub const MAX_STAGED_SAMPLES: usize = 120_000;
/// However many GPUs there are, each has at least so many samples, if it has as many.
const MIN_PER_GPU: usize = 60;
/// What one stretch is told by: its least and its most busy sample, and its most slowed one.
const PER_STRETCH: usize = 3;
/// Figures of which the smallest and the largest sample stay, wherever they are.
const EXTREMES: usize = 5;
/// Times that a counter of errors began anew which are looked at: each keeps the samples on both sides.
const MAX_RESETS: usize = 8;
/// What stays beside the stretches: both ends, extremes, resets.
const BESIDE: usize = 2 + 2 * EXTREMES + 2 * MAX_RESETS;

/// How many samples each of so many GPUs may have.
#[must_use]
pub fn samples_per_gpu(gpus: usize) -> usize {
    (MAX_STAGED_SAMPLES / gpus.max(1)).max(MIN_PER_GPU)
}

/// Cuts the samples of one GPU to at most `limit`, or 31 if that is more; holds no more than that at any time.
///
/// All that stay were observed: of each stretch of neighbours the least and the most busy one, and one whose clocks were held
/// down if there was any; over all of them the first with the least and the most of each kind of memory, of temperature and of utilization. So
/// extremes and faults stay true, while counts, means and times are those of the samples that are left. The first and the last
/// one stay, and those around a counter of errors that begins anew, so that counters keep their rise.
#[derive(Debug, Clone)]
pub struct Thinner {
    /// As many as are expected; one more or less does no harm.
    all: usize,
    stretches: usize,
    seen: usize,
    kept: Vec<GpuSample>,
    stretch: Stretch,
    extremes: [Option<(GpuSample, GpuSample)>; EXTREMES],
    resets: usize,
    last: Option<GpuSample>,
}

/// What stays of the stretch that is being looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    number: usize,
    least: Option<GpuSample>,
    most: Option<GpuSample>,
    slow: Option<GpuSample>,
}

impl Thinner {
    /// For about `all` samples, which come in order of time.
    #[must_use]
    pub fn new(all: usize, limit: usize) -> Self {
        let stretches = if all <= limit { all } else { (limit.saturating_sub(BESIDE) / PER_STRETCH).max(1) };
        Self {
            all,
            stretches,
            seen: 0,
            kept: Vec::new(),
            stretch: Stretch::default(),
            extremes: [None; EXTREMES],
            resets: 0,
            last: None,
        }
    }

    /// Looks at the next one.
    pub fn push(&mut self, sample: GpuSample) {
        if self.seen == 0 {
            self.kept.push(sample);
        }
        let number = (self.seen * self.stretches / self.all.max(1)).min(self.stretches.saturating_sub(1));
        if number != self.stretch.number {
            self.end_stretch();
            self.stretch.number = number;
        }
        let busy = |sample: &GpuSample| (sample.utilization_percent, sample.used_mib);
        let Stretch { least, most, slow, .. } = &mut self.stretch;
        keep_if(least, sample, |kept| busy(&sample) < busy(kept));
        keep_if(most, sample, |kept| busy(&sample) > busy(kept));
        if sample.throttle.is_some_and(super::ThrottleReasons::slow) {
            slow.get_or_insert(sample);
        }
        for (kept, figure) in self.extremes.iter_mut().zip(FIGURES) {
            let Some(value) = figure(&sample) else { continue };
            let (smallest, largest) = kept.get_or_insert((sample, sample));
            if figure(smallest).is_none_or(|known| value < known) {
                *smallest = sample;
            }
            if figure(largest).is_none_or(|known| value > known) {
                *largest = sample;
            }
        }
        if let Some(last) = self.last.filter(|last| self.resets < MAX_RESETS && began_anew(last, &sample)) {
            self.resets += 1;
            self.kept.extend([last, sample]);
        }
        self.last = Some(sample);
        self.seen += 1;
    }

    /// Those that stay, in order of time, and how many do not.
    #[must_use]
    pub fn finish(mut self) -> (Vec<GpuSample>, u64) {
        self.end_stretch();
        self.kept.extend(self.last);
        self.kept
            .extend(self.extremes.iter().flatten().flat_map(|(smallest, largest)| [*smallest, *largest]));
        self.kept.sort_by_key(|sample| sample.at);
        // A GPU has one sample at a time.
        self.kept.dedup_by_key(|sample| sample.at);
        let left_out = self.seen.saturating_sub(self.kept.len()) as u64;
        (self.kept, left_out)
    }

    fn end_stretch(&mut self) {
        let Stretch { least, most, slow, .. } = std::mem::take(&mut self.stretch);
        let mut stretch: Vec<GpuSample> = [least, most, slow].into_iter().flatten().collect();
        stretch.sort_by_key(|sample| sample.at);
        stretch.dedup_by_key(|sample| sample.at);
        self.kept.append(&mut stretch);
    }
}

/// Those whose extremes are told.
const FIGURES: [fn(&GpuSample) -> Option<u32>; EXTREMES] = [
    |sample| Some(sample.used_mib),
    |sample| Some(sample.reserved_mib),
    |sample| Some(sample.foreign_mib),
    |sample| sample.temperature_c,
    |sample| sample.utilization_percent.map(u32::from),
];

fn keep_if(kept: &mut Option<GpuSample>, sample: GpuSample, better: impl Fn(&GpuSample) -> bool) {
    if kept.as_ref().is_none_or(better) {
        *kept = Some(sample);
    }
}

/// Whether a counter of errors stands lower than before: its driver was loaded anew.
fn began_anew(before: &GpuSample, after: &GpuSample) -> bool {
    let fell = |counter: fn(&GpuSample) -> Option<u64>| {
        counter(before).zip(counter(after)).is_some_and(|(before, after)| after < before)
    };
    fell(|sample| sample.ecc_corrected) || fell(|sample| sample.ecc_uncorrected)
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

    /// What stays; never holds many more than that.
    fn thin(samples: &[GpuSample], limit: usize) -> (Vec<GpuSample>, u64) {
        let mut thinner = Thinner::new(samples.len(), limit);
        for sample in samples {
            thinner.push(*sample);
            assert!(thinner.kept.len() <= limit.max(BESIDE + PER_STRETCH) + 1, "{}", thinner.kept.len());
        }
        thinner.finish()
    }

    #[test]
    fn a_day_of_64_gpus_stays_below_its_cap() {
        let limit = samples_per_gpu(64);
        let day: Vec<GpuSample> = (0..8_640)
            .map(|at| sample(at * 10, Some((at % 101) as u8), 81_559, if at == 5_000 { 0x40 } else { 0 }))
            .collect();
        let (kept, left_out) = thin(&day, limit);
        assert!(kept.len() <= limit && kept.len() > limit / 2, "{} of {limit}", kept.len());
        assert_eq!(kept.len() as u64 + left_out, 8_640);
        let bytes = serde_json::to_vec(&kept).unwrap().len() * 64;
        assert!(bytes < 24 << 20, "{bytes} bytes for 64 GPUs");
        assert!(kept.iter().any(|sample| sample.throttle.unwrap().slow()), "the one slow sample stays");
        assert_eq!(samples_per_gpu(13), 9_230, "a day of 13 is whole");
    }

    /// A peak of memory or heat need not be where the card is most busy.
    #[test]
    fn a_single_peak_of_each_figure_stays() {
        let mut day: Vec<GpuSample> =
            (0..8_640).map(|at| sample(at, Some((at % 101) as u8), 500, 0)).collect();
        day[1_234].used_mib = 81_000;
        day[2_345].reserved_mib = 80_000;
        day[3_456].foreign_mib = 70_000;
        day[4_567].temperature_c = Some(97);
        day[5_678].used_mib = 3;
        let (kept, _) = thin(&day, 60);
        assert!(kept.len() <= 60, "{}", kept.len());
        for at in [1_234, 2_345, 3_456, 4_567, 5_678] {
            assert!(kept.contains(&day[at]), "{at}");
        }
    }

    #[test]
    fn a_counter_that_begins_anew_keeps_its_rise() {
        let mut day: Vec<GpuSample> = (0..1_000).map(|at| sample(at, Some(50), 500, 0)).collect();
        for (at, sample) in day.iter_mut().enumerate() {
            // To 450, then from 0 to 548 of another driver; in the middle of a stretch.
            sample.ecc_corrected = Some(if at < 451 { at } else { at - 451 } as u64);
        }
        let (kept, _) = thin(&day, 60);
        let counts: Vec<u64> = kept.iter().filter_map(|sample| sample.ecc_corrected).collect();
        let rise = |pair: &[u64]| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] };
        assert_eq!(counts.windows(2).map(rise).sum::<u64>(), 450 + 548);
    }

    #[test]
    fn one_more_or_less_than_expected_does_no_harm() {
        let day: Vec<GpuSample> = (0..1_000).map(|at| sample(at, Some((at % 101) as u8), 500, 0)).collect();
        for expected in [0, 1, 999, 1_001, 5_000] {
            let mut thinner = Thinner::new(expected, 100);
            day.iter().for_each(|sample| thinner.push(*sample));
            let (kept, left_out) = thinner.finish();
            assert!(kept.len() <= 100, "{expected}: {}", kept.len());
            assert_eq!(kept.len() as u64 + left_out, 1_000, "{expected}");
        }
        assert_eq!(Thinner::new(0, 100).finish(), (Vec::new(), 0));
    }

    proptest! {
        #[test]
        fn extremes_ends_and_order_stay(
            seen in proptest::collection::vec((proptest::option::of(0_u8..=100), 0_u32..9, 0_u32..9, proptest::option::of(0_u32..9)), 0..400),
            limit in 32_usize..100,
        ) {
            let all: Vec<GpuSample> = seen
                .iter()
                .enumerate()
                .map(|(at, (percent, used, foreign, heat))| GpuSample {
                    foreign_mib: *foreign,
                    reserved_mib: 9 - *foreign,
                    temperature_c: *heat,
                    ..sample(at, *percent, *used, 0)
                })
                .collect();
            let (kept, left_out) = thin(&all, limit);
            prop_assert!(kept.len() <= limit);
            prop_assert!(all.len() > limit || left_out == 0);
            prop_assert_eq!(kept.len() as u64 + left_out, all.len() as u64);
            prop_assert!(kept.windows(2).all(|pair| pair[0].at < pair[1].at));
            prop_assert_eq!(kept.first(), all.first());
            prop_assert_eq!(kept.last(), all.last());
            for figure in FIGURES {
                let extremes = |samples: &[GpuSample]| {
                    let known = samples.iter().filter_map(figure);
                    (known.clone().min(), known.max())
                };
                prop_assert_eq!(extremes(&kept), extremes(&all));
            }
        }
    }
}
