//! The result of `gpu_report`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{GpuUuid, RunJobId},
    staging::{GpuOrigin, Window},
};

/// Most GPUs in one result.
pub const MAX_GPUS: usize = 100;
/// Most RunJobs listed per GPU.
pub const MAX_GPU_RUN_JOBS: usize = 8;
/// Most overlaps in one result.
pub const MAX_OVERLAPS: usize = 50;

/// What the staged samples and leases say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuReport {
    pub window: Window,
    /// By host and index. Empty where there is no GPU.
    pub gpus: Vec<GpuSummary>,
    pub gpus_left_out: u64,
    /// Instants at which leases added up to more than the card has. None is the promise.
    pub overlaps: Vec<LeaseOverlap>,
    pub overlaps_left_out: u64,
}

/// One GPU over the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuSummary {
    pub uuid: GpuUuid,
    pub host: String,
    pub index: u32,
    pub model: String,
    pub origin: GpuOrigin,
    pub total_mib: u32,
    /// The figures below are absent if this is 0.
    pub samples: u64,
    /// Samples that were kept but not staged, because there were too many.
    #[serde(default)]
    pub samples_left_out: u64,
    pub used_mib: Option<MemorySpread>,
    pub reserved_mib: Option<MemorySpread>,
    pub foreign_mib: Option<MemorySpread>,
    /// Over the samples that tell it.
    pub utilization_percent: Option<UtilizationSpread>,
    /// Samples that do not tell the utilization.
    #[serde(default)]
    pub utilization_unknown: u64,
    /// Samples with a utilization above 80 %.
    pub hot_samples: u64,
    pub temperature_max_c: Option<u32>,
    /// Samples by what held the clocks down; without idleness and chosen clocks. Absent where no sample tells.
    #[serde(default)]
    pub throttled: Option<Throttled>,
    /// Corrected memory errors within the window. Absent where no sample tells.
    #[serde(default)]
    pub ecc_corrected: Option<u64>,
    /// Uncorrected memory errors within the window. Absent where no sample tells.
    #[serde(default)]
    pub ecc_uncorrected: Option<u64>,
    /// Critical errors within the window.
    #[serde(default)]
    pub xids: u64,
    /// Those of them that are the card's and no program's.
    #[serde(default)]
    pub hardware_xids: u64,
    pub leases: u64,
    /// Who held it, in order of time.
    pub run_jobs: Vec<RunJobId>,
    pub run_jobs_left_out: u64,
    /// Time under a lease in which a sample showed a utilization below 5 %.
    pub idle_reserved_seconds: u64,
    /// Time under a lease for which there is no sample that tells the utilization.
    #[serde(default)]
    pub unknown_reserved_seconds: u64,
    pub reserved_seconds: u64,
}

/// Samples in which clocks were held down, by what did it; one sample may count several times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttled {
    /// By any of those below.
    pub samples: u64,
    pub power: u64,
    pub heat: u64,
    /// By the hardware, whatever made it do so.
    pub hardware: u64,
    /// By another card of its group.
    pub sync_boost: u64,
}

/// Extremes and mean over the samples, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySpread {
    pub min: u32,
    pub mean: f64,
    pub max: u32,
}

/// Mean and percentiles (nearest rank) over the samples, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UtilizationSpread {
    pub mean: f64,
    pub p50: u8,
    pub p95: u8,
    pub max: u8,
}

/// A span of time in which a card's leases added up to more than it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseOverlap {
    pub uuid: GpuUuid,
    pub from: DateTime<Utc>,
    /// Absent if it still lasts.
    pub to: Option<DateTime<Utc>>,
    /// The most that was reserved in the span.
    pub reserved_mib: u64,
    pub total_mib: u32,
}
