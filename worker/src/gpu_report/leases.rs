//! Leases over time: when a card was held at all, and whether it was ever held by more than it has.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::GpuUuid,
    outcome::{LeaseOverlap, clean_text},
    staging::{GpuHistory, LeaseSpan, Window},
};

/// A span of time, end exclusive.
pub type Span = (DateTime<Utc>, DateTime<Utc>);

/// The times within the window in which there was a lease, in order and apart from each other.
pub fn held(leases: &[LeaseSpan], window: Window) -> Vec<Span> {
    let clipped = leases
        .iter()
        .map(|lease| (lease.from.max(window.from), lease.to.unwrap_or(window.to).min(window.to)));
    let mut spans: Vec<Span> = clipped.filter(|(from, to)| from < to).collect();
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => out.push((from, to)),
        }
    }
    out
}

/// Times in which the leases of a card added up to more than it has. There should be none.
pub fn overlaps(gpu: &GpuHistory) -> Vec<LeaseOverlap> {
    let mut changes: Vec<(DateTime<Utc>, i64)> = Vec::new();
    for lease in &gpu.leases {
        if lease.to.is_none_or(|to| lease.from < to) {
            let mib = i64::from(lease.reserved_mib);
            changes.push((lease.from, mib));
            changes.extend(lease.to.map(|to| (to, -mib)));
        }
    }
    changes.sort_unstable();
    let total = i64::from(gpu.total_mib);
    let mut sum = 0;
    let mut out: Vec<LeaseOverlap> = Vec::new();
    let mut open: Option<LeaseOverlap> = None;
    let mut changes = changes.into_iter().peekable();
    while let Some((at, change)) = changes.next() {
        sum += change;
        // What is handed over at an instant is no overlap: judged is what all changes of it leave.
        if changes.peek().is_some_and(|(next, _)| *next == at) {
            continue;
        }
        let reserved_mib = sum.unsigned_abs();
        match &mut open {
            Some(overlap) if sum > total => overlap.reserved_mib = overlap.reserved_mib.max(reserved_mib),
            None if sum > total => {
                let uuid = GpuUuid::new(clean_text(gpu.uuid.as_str()));
                open =
                    Some(LeaseOverlap { uuid, from: at, to: None, reserved_mib, total_mib: gpu.total_mib });
            }
            Some(_) => out.extend(open.take().map(|overlap| LeaseOverlap { to: Some(at), ..overlap })),
            None => {}
        }
    }
    out.extend(open);
    out
}

/// How much of `span` is within `spans`, in milliseconds.
pub fn shared_ms(span: Span, spans: &[Span]) -> u64 {
    spans
        .iter()
        .map(|(from, to)| (span.1.min(*to) - span.0.max(*from)).num_milliseconds())
        .filter(|&shared| shared > 0)
        .map(i64::unsigned_abs)
        .sum()
}

#[cfg(test)]
#[path = "leases_test.rs"]
mod tests;
