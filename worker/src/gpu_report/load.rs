//! Samples over time: what each one stands for, and when a card was hot.

use chrono::TimeDelta;
use cyberbrain_core::staging::{GpuHistory, GpuSample, Window};

use super::leases::Span;

/// A utilization above this is hot, in percent.
pub const HOT_ABOVE_PERCENT: u8 = 80;
/// A utilization below this is idle, in percent.
pub const IDLE_BELOW_PERCENT: u8 = 5;
/// A sample stands for at most so many times the usual distance: what lies beyond was not observed.
const LONGEST: i32 = 2;
/// The same where samples were left out on purpose, so that distances differ.
const LONGEST_THINNED: i32 = 8;

/// A time of uninterrupted hot samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotTime {
    pub span: Span,
    pub samples: u64,
    pub peak_percent: u8,
}

/// The time that each sample stands for: until the next one, the last one for the usual distance.
pub fn spans(gpu: &GpuHistory, window: Window) -> Vec<(GpuSample, Span)> {
    let samples = &gpu.samples;
    let longest = if gpu.samples_left_out == 0 { LONGEST } else { LONGEST_THINNED };
    let mut gaps: Vec<TimeDelta> = samples.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    gaps.sort_unstable();
    // A single sample stands for no time.
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    let end = |at: usize| {
        let own = samples[at].at;
        let next = samples.get(at + 1).map_or(own + usual, |next| next.at.min(own + usual * longest));
        next.min(window.to)
    };
    let span = |(at, sample): (usize, &GpuSample)| (*sample, (sample.at.max(window.from), end(at)));
    samples.iter().enumerate().map(span).collect()
}

/// Whether a sample tells that the card was hot. An untold utilization is neither hot nor idle.
pub fn is_hot(sample: &GpuSample) -> bool {
    sample.utilization_percent.is_some_and(|percent| percent > HOT_ABOVE_PERCENT)
}

/// Whether a sample tells that the card was idle.
pub fn is_idle(sample: &GpuSample) -> bool {
    sample.utilization_percent.is_some_and(|percent| percent < IDLE_BELOW_PERCENT)
}

/// The hot times, in order: each from its first hot sample to the end of the time that its last one stands for.
pub fn hot_times(spans: &[(GpuSample, Span)]) -> Vec<HotTime> {
    let mut out: Vec<HotTime> = Vec::new();
    let mut open: Option<HotTime> = None;
    for (sample, span) in spans {
        if !is_hot(sample) {
            out.extend(open.take());
            continue;
        }
        let percent = sample.utilization_percent.unwrap_or_default();
        // What was not observed in between was not seen to be hot.
        if open.is_some_and(|hot| hot.span.1 < span.0) {
            out.extend(open.take());
        }
        let hot = open.get_or_insert(HotTime { span: *span, samples: 0, peak_percent: 0 });
        hot.span.1 = span.1;
        hot.samples += 1;
        hot.peak_percent = hot.peak_percent.max(percent);
    }
    out.extend(open);
    out
}
