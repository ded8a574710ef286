//! GPUs of this machine: what there is, what it does, and who uses it.
//!
//! [`GpuProbe`] has three implementations: [`NvmlProbe`] (NVIDIA's driver), [`SimulatedProbe`] (made up by
//! option, and said so everywhere) and [`NoProbe`]. [`GpuMonitor`] runs one on a thread of its own, because a
//! driver call may block for ever.
//!
//! Guarantees: without a driver there is an empty inventory and a status that says why, never an error loop;
//! what a card does not tell is `None`, never zero; a hung driver yields no reading, and the age shows it.
//! Deliberately absent: changing anything on a card (MIG, clocks, reset), and what follows from a fault: that
//! is placement.

mod card;
mod describe;
mod monitor;
mod nvml;
mod owner;
mod simulated;

use std::path::PathBuf;

pub use card::{Gpu, GpuHealth, GpuKind, GpuProcess, GpuSample, Inventory, ProbeStatus};
pub use cyberbrain_core::staging::{XidSeverity, xid_severity};
pub use describe::{Description, describe};
pub use monitor::{GpuMonitor, Latest, Reading};
pub use nvml::NvmlProbe;
pub use owner::{container_of, container_on_cgroup_path};
pub use simulated::{Occupant, SimulatedGpus, SimulatedProbe, SpecError};

/// Looks at GPUs. Calls may block, for as long as a driver does.
pub trait GpuProbe: Send {
    /// What there is. Also the way to try again after a failure.
    fn inventory(&mut self) -> Inventory;

    /// One sample of each GPU of the last inventory.
    ///
    /// # Errors
    /// The driver itself is gone; take an inventory again.
    fn sample(&mut self) -> Result<Vec<GpuSample>, ProbeStatus>;
}

/// Which probe to use.
#[derive(Debug, Clone)]
pub enum ProbeChoice {
    /// NVIDIA's library; by its usual name if no path is given.
    Nvml { library: Option<PathBuf> },
    /// Made-up GPUs.
    Simulated(SimulatedGpus),
    /// No GPUs, whatever the machine has.
    None,
}

impl ProbeChoice {
    /// Makes the probe. Nothing is loaded before its first call.
    #[must_use]
    pub fn open(self) -> Box<dyn GpuProbe> {
        match self {
            Self::Nvml { library } => Box::new(NvmlProbe::new(library)),
            Self::Simulated(gpus) => Box::new(SimulatedProbe::new(gpus)),
            Self::None => Box::new(NoProbe),
        }
    }
}

/// No GPUs.
#[derive(Debug)]
pub struct NoProbe;

impl GpuProbe for NoProbe {
    fn inventory(&mut self) -> Inventory {
        Inventory { status: ProbeStatus::Off, gpus: Vec::new() }
    }

    fn sample(&mut self) -> Result<Vec<GpuSample>, ProbeStatus> {
        Ok(Vec::new())
    }
}
