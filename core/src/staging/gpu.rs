//! `gpu.json`: what was observed of GPUs, and who held them, over a window.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{GpuUuid, RunJobId},
    staging::{ThrottleReasons, Window},
    text_enum,
};

/// Samples and leases of a set of GPUs over one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuWindow {
    pub window: Window,
    /// Empty where no host has a GPU.
    pub gpus: Vec<GpuHistory>,
}

/// What a `gpu_report` may be asked for. Other parameters are not looked at: those of a Run are for all of its jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuReportParams {
    #[serde(default)]
    pub window_hours: WindowHours,
}

/// How far back a report looks, in hours: more than 0, and at most 31 days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct WindowHours(f64);

impl WindowHours {
    /// The same as a length.
    #[must_use]
    pub fn length(self) -> TimeDelta {
        TimeDelta::milliseconds((self.0 * 3_600_000.0) as i64)
    }
}

impl Default for WindowHours {
    fn default() -> Self {
        Self(24.0)
    }
}

impl TryFrom<f64> for WindowHours {
    type Error = String;

    fn try_from(hours: f64) -> Result<Self, String> {
        const MOST: f64 = 24.0 * 31.0;
        if hours > 0.0 && hours <= MOST {
            Ok(Self(hours))
        } else {
            Err(format!("window_hours is {hours}; it has to be more than 0 and at most {MOST}"))
        }
    }
}

impl From<WindowHours> for f64 {
    fn from(hours: WindowHours) -> Self {
        hours.0
    }
}

text_enum! {
    /// Whether a GPU exists outside of our imagination.
    GpuOrigin("GPU origin") {
        /// Found by its driver.
        Real = "real",
        /// Asked for by option; its samples are made up.
        Simulated = "simulated",
    }
}

/// One GPU's window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuHistory {
    pub uuid: GpuUuid,
    pub index: u32,
    /// Name of its host.
    pub host: String,
    pub model: String,
    pub total_mib: u32,
    pub origin: GpuOrigin,
    /// In order of time.
    pub samples: Vec<GpuSample>,
    /// Kept samples that are not among `samples`, because there were too many: see [`Thinner`](super::Thinner).
    #[serde(default)]
    pub samples_left_out: u64,
    /// Critical errors (XIDs) that its driver reported, in order of time.
    #[serde(default)]
    pub xids: Vec<XidEvent>,
    /// Every lease that was alive at some instant of the window.
    pub leases: Vec<LeaseSpan>,
}

/// One observation of one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSample {
    pub at: DateTime<Utc>,
    /// Memory in use by anyone.
    pub used_mib: u32,
    /// Memory that leases held at that time.
    pub reserved_mib: u32,
    /// The part of `used_mib` that belongs to no worker of ours.
    pub foreign_mib: u32,
    /// 0 to 100. Absent where the driver does not say: that is unknown, not idle.
    pub utilization_percent: Option<u8>,
    /// Absent where the driver does not say.
    pub temperature_c: Option<u32>,
    /// What held its clocks down. Absent where the driver does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<ThrottleReasons>,
    /// Corrected memory errors since the driver was loaded. Absent without ECC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<u64>,
    /// Uncorrected memory errors since the driver was loaded. Absent without ECC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<u64>,
}

/// A critical error that the driver reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct XidEvent {
    pub at: DateTime<Utc>,
    /// NVIDIA's number of the error.
    pub xid: u32,
}

/// Memory of a GPU held by one RunJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSpan {
    pub run_job_id: RunJobId,
    pub from: DateTime<Utc>,
    /// Absent while it is still held.
    pub to: Option<DateTime<Utc>>,
    pub reserved_mib: u32,
}
