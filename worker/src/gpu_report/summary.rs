//! One GPU's figures.

use cyberbrain_core::{
    ids::{GpuUuid, RunJobId},
    outcome::{GpuSummary, LeaseOverlap, MAX_GPU_RUN_JOBS, clean_text},
    staging::{GpuHistory, GpuSample, Window},
};

use super::{
    faults,
    leases::{held, overlaps, shared_ms},
    load::{HotTime, hot_times, is_hot, is_idle, spans},
    statistics,
};

/// What is known of one GPU.
pub struct Facts {
    pub summary: GpuSummary,
    pub overlaps: Vec<LeaseOverlap>,
    pub hot_times: Vec<HotTime>,
}

/// Works them out. Samples and leases are in order of time.
pub fn facts(gpu: &GpuHistory, window: Window) -> Facts {
    let samples = gpu.samples.iter();
    let held = held(&gpu.leases, window);
    let reserved_ms: i64 = held.iter().map(|(from, to)| (*to - *from).num_milliseconds()).sum();
    let spans = spans(gpu, window);
    let reserved_while = |holds: fn(&GpuSample) -> bool| -> u64 {
        spans.iter().filter(|(sample, _)| holds(sample)).map(|(_, span)| shared_ms(*span, &held)).sum()
    };
    let idle_ms = reserved_while(is_idle);
    let known_ms = reserved_while(|sample| sample.utilization_percent.is_some());
    let mut run_jobs: Vec<RunJobId> = Vec::new();
    for lease in &gpu.leases {
        if !run_jobs.contains(&lease.run_job_id) {
            run_jobs.push(lease.run_job_id);
        }
    }
    let summary = GpuSummary {
        uuid: GpuUuid::new(clean_text(gpu.uuid.as_str())),
        host: clean_text(&gpu.host),
        index: gpu.index,
        model: clean_text(&gpu.model),
        origin: gpu.origin,
        total_mib: gpu.total_mib,
        samples: gpu.samples.len() as u64,
        samples_left_out: gpu.samples_left_out,
        used_mib: statistics::memory(samples.clone().map(|sample| sample.used_mib)),
        reserved_mib: statistics::memory(samples.clone().map(|sample| sample.reserved_mib)),
        foreign_mib: statistics::memory(samples.clone().map(|sample| sample.foreign_mib)),
        utilization_percent: statistics::utilization(
            samples.clone().filter_map(|sample| sample.utilization_percent),
        ),
        utilization_unknown: samples.clone().filter(|sample| sample.utilization_percent.is_none()).count()
            as u64,
        hot_samples: samples.clone().filter(|sample| is_hot(sample)).count() as u64,
        temperature_max_c: samples.clone().filter_map(|sample| sample.temperature_c).max(),
        throttled: faults::throttled(&gpu.samples),
        ecc_corrected: faults::rise(samples.clone().map(|sample| sample.ecc_corrected)),
        ecc_uncorrected: faults::rise(samples.map(|sample| sample.ecc_uncorrected)),
        xids: gpu.xids.len() as u64,
        hardware_xids: faults::hardware(&gpu.xids),
        leases: gpu.leases.len() as u64,
        run_jobs_left_out: run_jobs.len().saturating_sub(MAX_GPU_RUN_JOBS) as u64,
        run_jobs: run_jobs.into_iter().take(MAX_GPU_RUN_JOBS).collect(),
        idle_reserved_seconds: idle_ms / 1_000,
        unknown_reserved_seconds: reserved_ms.unsigned_abs().saturating_sub(known_ms) / 1_000,
        reserved_seconds: reserved_ms.unsigned_abs() / 1_000,
    };
    Facts { summary, overlaps: overlaps(gpu), hot_times: hot_times(&spans) }
}
