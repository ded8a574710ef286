//! `NvmlProbe`: NVIDIA's management library, loaded when first needed.
//!
//! The library is the driver's own and is opened at run time, so that this program starts where there is
//! none. Guarantees: each of its errors has one meaning here (see [`answer`]); a card that is lost stays in
//! the inventory and says so; a driver that went away is closed and looked for again.

mod answer;
mod events;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use cyberbrain_core::{
    ids::GpuUuid,
    staging::{GpuOrigin, ThrottleReasons},
};
use nvml_wrapper::{
    Nvml,
    device::Device,
    enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor},
    enums::device::UsedGpuMemory,
    error::NvmlError,
};

use self::{
    answer::{Answer, Trouble, library_status},
    events::XidWatch,
};
use super::{
    Gpu, GpuHealth, GpuKind, GpuProbe, GpuProcess, GpuSample, Inventory, ProbeStatus, card::mib,
    owner::container_of,
};
use crate::runtime::meminfo_mib;

/// The library's name where no path is given; only the driver's installation provides it.
const LIBRARY: &str = "libnvidia-ml.so.1";
const MIG_ENABLED: u32 = 1;
/// Where the processes of this machine are.
const PROC: &str = "/proc";

/// NVIDIA's library.
#[derive(Debug)]
pub struct NvmlProbe {
    library: OsString,
    open: Option<Open>,
    known: Vec<Gpu>,
}

/// A library that answers.
#[derive(Debug)]
struct Open {
    /// Dropped first: it uses the library.
    xids: XidWatch,
    nvml: Arc<Nvml>,
    driver_version: String,
}

impl NvmlProbe {
    /// Loads nothing yet.
    #[must_use]
    pub fn new(library: Option<PathBuf>) -> Self {
        let library = library.map_or_else(|| LIBRARY.into(), PathBuf::into_os_string);
        Self { library, open: None, known: Vec::new() }
    }

    fn opened(&mut self) -> Result<&Open, ProbeStatus> {
        if self.open.is_none() {
            let nvml =
                Nvml::builder().lib_path(&self.library).init().map_err(|error| library_status(&error))?;
            let driver_version = nvml.sys_driver_version().map_err(|error| library_status(&error))?;
            self.open = Some(Open { nvml: Arc::new(nvml), driver_version, xids: XidWatch::default() });
        }
        self.open.as_ref().ok_or_else(|| ProbeStatus::Failed { why: "not opened".to_owned() })
    }

    fn take_inventory(&mut self) -> Result<Inventory, ProbeStatus> {
        let known = std::mem::take(&mut self.known);
        let open = self.opened()?;
        let count = open.nvml.device_count().map_err(|error| library_status(&error))?;
        let mut gpus = Vec::new();
        for index in 0..count {
            match cards(&open.nvml, index) {
                Ok(found) => gpus.extend(found),
                Err(Trouble::Driver(status)) => return Err(status),
                // It was there before and is there still, only out of reach.
                Err(Trouble::Gpu(health)) => {
                    let mut remembered = known.iter().filter(|gpu| card_index(gpu) == index).peekable();
                    if remembered.peek().is_none() {
                        tracing::warn!(index, ?health, "a gpu can't be identified and is left out");
                    }
                    gpus.extend(remembered.cloned());
                }
            }
        }
        gpus.sort_by_key(|gpu| gpu.index);
        let driver_version = open.driver_version.clone();
        self.known.clone_from(&gpus);
        if let Some(open) = &mut self.open {
            open.xids.watch(&open.nvml, &gpus);
        }
        Ok(Inventory { status: ProbeStatus::Ready { driver_version }, gpus })
    }
}

impl GpuProbe for NvmlProbe {
    fn inventory(&mut self) -> Inventory {
        let before = self.known.clone();
        self.take_inventory().unwrap_or_else(|status| {
            // Closed, so that the next try loads whatever library is installed then.
            self.open = None;
            self.known = before;
            Inventory { status, gpus: self.known.clone() }
        })
    }

    fn sample(&mut self) -> Result<Vec<GpuSample>, ProbeStatus> {
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let xids = open.xids.drain();
        let samples: Result<Vec<_>, _> = self.known.iter().map(|gpu| sample(&open.nvml, gpu)).collect();
        match samples {
            Ok(mut samples) => {
                for (sample, gpu) in samples.iter_mut().zip(&self.known) {
                    let of = parent_of(gpu).unwrap_or(&gpu.uuid);
                    sample.xids = xids.iter().filter(|(uuid, _)| uuid == of).map(|(_, xid)| *xid).collect();
                }
                Ok(samples)
            }
            Err(status) => {
                self.open = None;
                Err(status)
            }
        }
    }
}

/// A card, or its slices if it is partitioned.
fn cards(nvml: &Nvml, index: u32) -> Result<Vec<Gpu>, Trouble> {
    let device = nvml.device_by_index(index)?;
    let partitioned = Answer::of(device.mig_mode())?.is_some_and(|mode| mode.current == MIG_ENABLED);
    if partitioned { slices(&device, index) } else { Ok(vec![card(&device, index, GpuKind::Card)?]) }
}

fn card(device: &Device<'_>, index: u32, kind: GpuKind) -> Result<Gpu, Trouble> {
    let uuid = GpuUuid::new(device.uuid()?);
    let model = device.name()?;
    let origin = GpuOrigin::Real;
    Ok(match Answer::of(device.memory_info())? {
        Some(memory) => {
            let allocatable_mib = mib(memory.total.saturating_sub(memory.reserved));
            Gpu { uuid, index, model, total_mib: mib(memory.total), allocatable_mib, kind, origin }
        }
        // Parts that share the machine's memory say that they have none.
        None => {
            let total_mib = meminfo_mib("MemTotal").unwrap_or(0);
            let kind = GpuKind::UnifiedMemory;
            Gpu { uuid, index, model, total_mib, allocatable_mib: total_mib, kind, origin }
        }
    })
}

fn slices(device: &Device<'_>, index: u32) -> Result<Vec<Gpu>, Trouble> {
    let parent = GpuUuid::new(device.uuid()?);
    let mut slices = Vec::new();
    // The count is the most there can be; the numbers in between may be free.
    for number in 0..device.mig_device_count()? {
        match device.mig_device_by_index(number) {
            Ok(slice) => {
                let kind = GpuKind::MigSlice { parent: parent.clone() };
                slices.push(card(&slice, 100 * (index + 1) + number, kind)?);
            }
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(slices)
}

const fn parent_of(gpu: &Gpu) -> Option<&GpuUuid> {
    match &gpu.kind {
        GpuKind::MigSlice { parent } => Some(parent),
        GpuKind::Card | GpuKind::UnifiedMemory => None,
    }
}

/// The driver's index of the card that this is, or is a slice of.
const fn card_index(gpu: &Gpu) -> u32 {
    match gpu.kind {
        GpuKind::MigSlice { .. } => gpu.index / 100 - 1,
        GpuKind::Card | GpuKind::UnifiedMemory => gpu.index,
    }
}

/// Fails only if the driver is gone.
fn sample(nvml: &Nvml, gpu: &Gpu) -> Result<GpuSample, ProbeStatus> {
    match try_sample(nvml, gpu) {
        Ok(sample) => Ok(sample),
        Err(Trouble::Gpu(health)) => Ok(GpuSample::blank(gpu.uuid.clone(), health)),
        Err(Trouble::Driver(status)) => Err(status),
    }
}

fn try_sample(nvml: &Nvml, gpu: &Gpu) -> Result<GpuSample, Trouble> {
    let device = nvml.device_by_uuid(gpu.uuid.as_str())?;
    let used_mib = match &gpu.kind {
        GpuKind::UnifiedMemory => {
            meminfo_mib("MemAvailable").map(|available| gpu.total_mib.saturating_sub(available))
        }
        GpuKind::Card | GpuKind::MigSlice { .. } => {
            Answer::of(device.memory_info())?.map(|memory| mib(memory.used))
        }
    };
    let utilization = Answer::aside(device.utilization_rates())?;
    Ok(GpuSample {
        used_mib,
        utilization_percent: utilization.map(|rates| u8::try_from(rates.gpu.min(100)).unwrap_or(100)),
        temperature_celsius: Answer::aside(device.temperature(TemperatureSensor::Gpu))?,
        power_milliwatts: Answer::aside(device.power_usage())?,
        throttle: Answer::aside(device.current_throttle_reasons())?
            .map(|reasons| ThrottleReasons::from_bits(reasons.bits())),
        corrected_ecc_errors: Answer::aside(
            device.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile),
        )?,
        uncorrected_ecc_errors: Answer::aside(
            device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile),
        )?,
        processes: Answer::aside(device.running_compute_processes())?.map(|processes| {
            processes
                .into_iter()
                .map(|process| GpuProcess {
                    pid: Some(process.pid),
                    container: container_of(PROC.as_ref(), process.pid),
                    used_mib: match process.used_gpu_memory {
                        UsedGpuMemory::Used(bytes) => Some(mib(bytes)),
                        UsedGpuMemory::Unavailable => None,
                    },
                })
                .collect()
        }),
        ..GpuSample::blank(gpu.uuid.clone(), GpuHealth::Healthy)
    })
}
