//! What is known of a GPU: its inventory entry, a sample of it, and the meaning of its faults.

use cyberbrain_core::{
    ids::GpuUuid,
    staging::{GpuOrigin, ThrottleReasons},
};
use serde::Serialize;

use crate::runtime::ContainerId;

/// One GPU, or one slice of a partitioned one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    pub uuid: GpuUuid,
    /// The driver's index; unique on this host, and not stable across reboots. A MIG slice has
    /// 100 × (index of its card + 1) + its own number.
    pub index: u32,
    pub model: String,
    pub total_mib: u32,
    /// Total minus what the driver keeps for itself.
    pub allocatable_mib: u32,
    pub kind: GpuKind,
    pub origin: GpuOrigin,
}

/// What sort of thing it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum GpuKind {
    /// A whole card with memory of its own.
    Card,
    /// It shares the machine's memory; the figures are the machine's.
    UnifiedMemory,
    /// A slice of a card in MIG mode. It has no utilization of its own.
    MigSlice { parent: GpuUuid },
}

/// What a probe finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    pub status: ProbeStatus,
    /// In order of index.
    pub gpus: Vec<Gpu>,
}

/// Whether GPUs can be seen at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ProbeStatus {
    Ready {
        driver_version: String,
    },
    /// The GPUs are made up.
    Simulated,
    /// Switched off by option.
    Off,
    /// No NVIDIA library: a machine without such GPUs.
    NoLibrary,
    /// The library is there, its kernel module is not.
    DriverNotLoaded,
    /// The driver was upgraded under the running kernel module: reload it, or reboot.
    VersionMismatch,
    /// This user may not talk to the driver.
    NoPermission,
    /// Anything else.
    Failed {
        why: String,
    },
}

impl ProbeStatus {
    /// Whether samples can be had.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Simulated => true,
            Self::Off
            | Self::NoLibrary
            | Self::DriverNotLoaded
            | Self::VersionMismatch
            | Self::NoPermission
            | Self::Failed { .. } => false,
        }
    }
}

/// One look at one GPU. What it does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuSample {
    pub uuid: GpuUuid,
    pub health: GpuHealth,
    /// Memory in use by anyone, without what the driver keeps for itself.
    pub used_mib: Option<u32>,
    /// 0 to 100.
    pub utilization_percent: Option<u8>,
    pub temperature_celsius: Option<u32>,
    pub power_milliwatts: Option<u32>,
    /// What holds its clocks down.
    pub throttle: Option<ThrottleReasons>,
    /// Corrected memory errors since the driver was loaded.
    pub corrected_ecc_errors: Option<u64>,
    /// Uncorrected memory errors since the driver was loaded.
    pub uncorrected_ecc_errors: Option<u64>,
    /// Who uses its memory; `None` if the driver does not say.
    pub processes: Option<Vec<GpuProcess>>,
    /// Critical errors that it reported since the last sample.
    pub xids: Vec<u64>,
}

impl GpuSample {
    /// A sample that tells nothing but its health.
    pub(super) const fn blank(uuid: GpuUuid, health: GpuHealth) -> Self {
        Self {
            uuid,
            health,
            used_mib: None,
            utilization_percent: None,
            temperature_celsius: None,
            power_milliwatts: None,
            throttle: None,
            corrected_ecc_errors: None,
            uncorrected_ecc_errors: None,
            processes: None,
            xids: Vec::new(),
        }
    }
}

/// How a GPU is right now. Lasting judgements (an XID a minute ago) are not made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum GpuHealth {
    Healthy,
    /// It fell off the bus, or the driver does not know it any more.
    Lost,
    /// The driver wants it to be reset.
    ResetRequired,
    /// It does not answer in a way that is understood.
    Unreadable {
        why: String,
    },
}

/// A user of a GPU's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuProcess {
    /// Host process id; absent for simulated GPUs.
    pub pid: Option<u32>,
    /// The container that it runs in, if it is visible from here and in one.
    pub container: Option<ContainerId>,
    pub used_mib: Option<u32>,
}

/// Whole MiB in this many bytes.
pub(super) fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX)
}
