//! One GPU's figures.

use cyberbrain_core::{
    ids::{GpuUuid, RunJobId},
    outcome::{GpuSummary, LeaseOverlap, MAX_GPU_RUN_JOBS, clean_text},
    staging::{GpuHistory, Window},
};

use super::{
    leases::{held, overlaps, shared_ms},
    load::{HOT_ABOVE_PERCENT, HotTime, IDLE_BELOW_PERCENT, hot_times, spans},
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
    let idle_ms: u64 = spans(&gpu.samples, window)
        .into_iter()
        .filter(|(sample, _)| sample.utilization_percent < IDLE_BELOW_PERCENT)
        .map(|(_, span)| shared_ms(span, &held))
        .sum();
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
        used_mib: statistics::memory(samples.clone().map(|sample| sample.used_mib)),
        reserved_mib: statistics::memory(samples.clone().map(|sample| sample.reserved_mib)),
        foreign_mib: statistics::memory(samples.clone().map(|sample| sample.foreign_mib)),
        utilization_percent: statistics::utilization(
            samples.clone().map(|sample| sample.utilization_percent),
        ),
        hot_samples: samples.clone().filter(|sample| sample.utilization_percent > HOT_ABOVE_PERCENT).count()
            as u64,
        temperature_max_c: samples.filter_map(|sample| sample.temperature_c).max(),
        leases: gpu.leases.len() as u64,
        run_jobs_left_out: run_jobs.len().saturating_sub(MAX_GPU_RUN_JOBS) as u64,
        run_jobs: run_jobs.into_iter().take(MAX_GPU_RUN_JOBS).collect(),
        idle_reserved_seconds: idle_ms / 1_000,
        reserved_seconds: reserved_ms.unsigned_abs() / 1_000,
    };
    Facts { summary, overlaps: overlaps(gpu), hot_times: hot_times(&gpu.samples) }
}
