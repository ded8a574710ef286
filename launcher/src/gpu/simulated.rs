//! GPUs that do not exist: their size comes from an option, their use from what they are told.
//!
//! They are called simulated wherever they appear: in the model, in the UUID and in [`GpuOrigin`].

use std::sync::{Arc, Mutex, PoisonError};

use cyberbrain_core::{ids::GpuUuid, staging::GpuOrigin};
use sha2::{Digest, Sha256};

use super::{Gpu, GpuHealth, GpuKind, GpuProbe, GpuProcess, GpuSample, Inventory, ProbeStatus};
use crate::runtime::ContainerId;

const MAX_GPUS: u32 = 256;

/// Why an option does not describe GPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} describes no GPUs: write <count>x<MiB>, e.g. 2x24576 or 1x81920,4x24576; {why}")]
pub struct SpecError {
    given: String,
    why: &'static str,
}

/// Somebody who uses a simulated GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    pub container: ContainerId,
    pub gpu: GpuUuid,
    pub used_mib: u32,
}

/// A set of simulated GPUs. Clones are the same GPUs, so that whoever starts containers can tell them.
#[derive(Debug, Clone)]
pub struct SimulatedGpus {
    gpus: Arc<[Gpu]>,
    occupants: Arc<Mutex<Vec<Occupant>>>,
}

impl SimulatedGpus {
    /// Reads `2x24576` (count × MiB), several with commas. The UUIDs depend on `host` and the index only, so
    /// that they are the same after a restart and in every launcher of that host.
    ///
    /// # Errors
    /// The text is of another form, or describes none or more than 256 GPUs.
    pub fn parse(spec: &str, host: &str) -> Result<Self, SpecError> {
        let refused = |why| SpecError { given: spec.to_owned(), why };
        let mut sizes = Vec::new();
        for part in spec.split(',') {
            let (count, mib) = part.trim().split_once('x').ok_or_else(|| refused("there is no x"))?;
            let count: u32 = count.parse().map_err(|_| refused("the count is no number"))?;
            let mib: u32 = mib.parse().map_err(|_| refused("the size is no number"))?;
            if count == 0 || mib == 0 {
                return Err(refused("zero means nothing here"));
            }
            if count > MAX_GPUS || sizes.len() as u32 + count > MAX_GPUS {
                return Err(refused("256 is the most"));
            }
            sizes.extend((0..count).map(|_| mib));
        }
        let seed = format!("{:x}", Sha256::digest(host.as_bytes()));
        let gpus = (0..).zip(sizes).map(|(index, total_mib)| Gpu {
            uuid: GpuUuid::new(format!("GPU-simulated-{}-{index}", &seed[..12])),
            index,
            model: format!("simulated {total_mib} MiB"),
            total_mib,
            allocatable_mib: total_mib,
            kind: GpuKind::Card,
            origin: GpuOrigin::Simulated,
        });
        Ok(Self { gpus: gpus.collect(), occupants: Arc::default() })
    }

    /// Says who uses them now, all at once: whoever is not named uses nothing.
    pub fn set_occupants(&self, occupants: Vec<Occupant>) {
        *self.occupants.lock().unwrap_or_else(PoisonError::into_inner) = occupants;
    }

    fn sample(&self, gpu: &Gpu) -> GpuSample {
        let occupants = self.occupants.lock().unwrap_or_else(PoisonError::into_inner);
        let processes: Vec<_> = occupants
            .iter()
            .filter(|occupant| occupant.gpu == gpu.uuid)
            .map(|occupant| GpuProcess {
                pid: None,
                container: Some(occupant.container.clone()),
                used_mib: Some(occupant.used_mib),
            })
            .collect();
        let used = processes.iter().filter_map(|process| process.used_mib).map(u64::from).sum::<u64>();
        let used = u32::try_from(used).unwrap_or(u32::MAX).min(gpu.total_mib);
        // As busy as it is full: made up, but it moves with the load.
        let percent = u64::from(used) * 100 / u64::from(gpu.total_mib.max(1));
        let percent = u8::try_from(percent).unwrap_or(100);
        GpuSample {
            used_mib: Some(used),
            utilization_percent: Some(percent),
            temperature_celsius: Some(35 + u32::from(percent) / 2),
            processes: Some(processes),
            ..GpuSample::blank(gpu.uuid.clone(), GpuHealth::Healthy)
        }
    }
}

/// Shows simulated GPUs as a driver would.
#[derive(Debug)]
pub struct SimulatedProbe(SimulatedGpus);

impl SimulatedProbe {
    /// A probe of these GPUs.
    #[must_use]
    pub const fn new(gpus: SimulatedGpus) -> Self {
        Self(gpus)
    }
}

impl GpuProbe for SimulatedProbe {
    fn inventory(&mut self) -> Inventory {
        Inventory { status: ProbeStatus::Simulated, gpus: self.0.gpus.to_vec() }
    }

    fn sample(&mut self) -> Result<Vec<GpuSample>, ProbeStatus> {
        Ok(self.0.gpus.iter().map(|gpu| self.0.sample(gpu)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_or_refused() {
        let gpus = SimulatedGpus::parse("2x24576, 1x81920", "a").unwrap();
        let seen: Vec<_> = gpus.gpus.iter().map(|gpu| (gpu.index, gpu.total_mib)).collect();
        assert_eq!(seen, [(0, 24_576), (1, 24_576), (2, 81_920)]);
        for gpu in gpus.gpus.iter() {
            assert!(gpu.uuid.as_str().contains("simulated") && gpu.model.contains("simulated"));
            assert_eq!(gpu.origin, GpuOrigin::Simulated);
        }
        for bad in
            ["", "2", "x", "2x", "x5", "0x5", "2x0", "-1x5", "257x1", "200x1,57x1", "2X24576", "2x24576,"]
        {
            assert!(SimulatedGpus::parse(bad, "a").is_err(), "{bad}");
        }
    }

    #[test]
    fn identities_depend_on_host_and_index_only() {
        let uuids = |spec, host| -> Vec<_> {
            SimulatedGpus::parse(spec, host).unwrap().gpus.iter().map(|gpu| gpu.uuid.clone()).collect()
        };
        assert_eq!(uuids("2x24576", "a"), uuids("2x8192", "a"));
        assert!(uuids("2x24576", "a").iter().all(|uuid| !uuids("2x24576", "b").contains(uuid)));
    }

    #[test]
    fn use_follows_the_occupants() {
        let gpus = SimulatedGpus::parse("2x10000", "a").unwrap();
        let uuid = gpus.gpus[0].uuid.clone();
        let mut probe = SimulatedProbe::new(gpus.clone());
        let used = |probe: &mut SimulatedProbe| -> Vec<_> {
            probe
                .sample()
                .unwrap()
                .iter()
                .map(|s| (s.used_mib.unwrap(), s.utilization_percent.unwrap()))
                .collect()
        };
        assert_eq!(used(&mut probe), [(0, 0), (0, 0)]);
        let occupant = |name: &str, used_mib| Occupant {
            container: ContainerId::new(name),
            gpu: uuid.clone(),
            used_mib,
        };
        gpus.set_occupants(vec![occupant("a", 2_500), occupant("b", 5_000)]);
        assert_eq!(used(&mut probe), [(7_500, 75), (0, 0)]);
        assert_eq!(probe.sample().unwrap()[0].processes.as_ref().unwrap().len(), 2);
        gpus.set_occupants(vec![occupant("a", 20_000)]);
        assert_eq!(used(&mut probe), [(10_000, 100), (0, 0)], "never more than there is");
    }
}
