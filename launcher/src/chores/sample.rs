//! GPU telemetry: what the monitor sees, attributed, stored and exported.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use cyberbrain_common::{
    db::{
        self,
        audit::{self, Entry},
        gpus::{self, Observed, Reserved},
    },
    metric,
};
use cyberbrain_core::{
    audit::Operation,
    ids::{AttemptId, GpuUuid},
};
use tokio::time::{Instant, timeout};

use super::attribute::attribute;
use crate::{
    agent::Agent,
    gpu::{Gpu, GpuHealth, GpuSample, Occupant, Reading, SimulatedGpus, XidSeverity, xid_severity},
    runtime::{ContainerId, Labels, Purpose},
};

/// One kept row per GPU and this time.
const KEEP_EVERY: Duration = Duration::from_secs(10);
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Foreign memory is the most of so many looks: a stranger's short dip is no room for us.
const FOREIGN_LOOKS: usize = 3;
/// How long a GPU that had a problem has to be well before it is used again.
const PROBATION: Duration = Duration::from_secs(60);
/// The same after an error of the hardware.
const PROBATION_AFTER_XID: Duration = Duration::from_secs(600);
/// Critical errors that wait to be stored; beyond that the oldest are dropped.
const MAX_PENDING_XIDS: usize = 256;
const MIB: f64 = 1024.0 * 1024.0;

/// Takes the readings of one host.
pub(super) struct Sampler {
    agent: Arc<Agent>,
    simulated: Option<SimulatedGpus>,
    kept_at: Option<Instant>,
    foreign: BTreeMap<GpuUuid, VecDeque<u32>>,
    trouble: BTreeMap<GpuUuid, Trouble>,
    /// Told by the driver once, so kept until they are stored.
    xids: VecDeque<(GpuUuid, u32)>,
}

/// What is wrong with a GPU, and until when it has to be well.
struct Trouble {
    what: String,
    until: Instant,
    stored: bool,
}

impl Sampler {
    pub(super) fn new(agent: Arc<Agent>, simulated: Option<SimulatedGpus>) -> Self {
        Self {
            agent,
            simulated,
            kept_at: None,
            foreign: BTreeMap::new(),
            trouble: BTreeMap::new(),
            xids: VecDeque::new(),
        }
    }

    /// Stores one reading. A reading that can't be stored makes the telemetry older, which placement sees.
    pub(super) async fn take(&mut self, reading: &Reading) {
        metrics::gauge!(metric::GPU_TELEMETRY_UP, "host" => self.agent.host_name.clone())
            .set(if reading.status.is_ready() { 1.0 } else { 0.0 });
        for sample in &reading.samples {
            self.look_for_trouble(sample);
        }
        if reading.samples.is_empty() {
            return;
        }
        match timeout(WRITE_LIMIT, self.store(reading)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "GPU telemetry could not be stored"
                );
            }
            Err(_) => tracing::debug!("GPU telemetry could not be stored in time"),
        }
    }

    async fn store(&mut self, reading: &Reading) -> Result<(), db::Error> {
        let agent = Arc::clone(&self.agent);
        let mut connection = agent.pool.acquire().await?;
        let reservations = gpus::reservations(&mut connection, agent.host).await?;
        let ours = self.containers(&reservations).await;
        self.occupy(&ours, &reservations);
        let mut observed = Vec::new();
        for sample in &reading.samples {
            if let Some(seen) = attribute(sample, &ours, &reservations) {
                observed.push(self.smoothed(seen));
            }
        }
        gpus::observe(&mut connection, &observed).await?;
        if self.kept_at.is_none_or(|at| at.elapsed() >= KEEP_EVERY) {
            gpus::keep_samples(&mut connection, &observed).await?;
            self.kept_at = Some(Instant::now());
        }
        gpus::keep_xids(&mut connection, self.xids.make_contiguous()).await?;
        self.xids.clear();
        self.store_trouble(&mut connection).await?;
        self.export(&reading.gpus, &observed, &reservations);
        Ok(())
    }

    /// Containers of ours that may use GPUs. Without reservations nobody of ours does.
    async fn containers(&self, reservations: &[Reserved]) -> BTreeMap<ContainerId, AttemptId> {
        if reservations.is_empty() {
            return BTreeMap::new();
        }
        let listed = match self.agent.runtime.list_ours(self.agent.instance.id).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "containers can't be listed for their GPU use"
                );
                return BTreeMap::new();
            }
        };
        let worker = |labels: Option<Labels>| match labels?.purpose {
            Purpose::Worker(worker) => Some(worker.attempt_id),
            Purpose::Helper { .. } => None,
        };
        listed.into_iter().filter_map(|container| Some((container.id, worker(container.labels)?))).collect()
    }

    /// Simulated GPUs are as full as what is reserved on them.
    fn occupy(&self, ours: &BTreeMap<ContainerId, AttemptId>, reservations: &[Reserved]) {
        let Some(gpus) = &self.simulated else { return };
        let occupants = ours.iter().flat_map(|(container, attempt)| {
            let held = reservations.iter().filter(move |reserved| reserved.attempt == *attempt);
            held.map(|reserved| Occupant {
                container: container.clone(),
                gpu: reserved.gpu.clone(),
                used_mib: reserved.reserved_mib,
            })
        });
        gpus.set_occupants(occupants.collect());
    }

    fn smoothed(&mut self, seen: Observed) -> Observed {
        let looks = self.foreign.entry(seen.gpu_uuid.clone()).or_default();
        if looks.len() == FOREIGN_LOOKS {
            looks.pop_front();
        }
        looks.push_back(seen.foreign_mib);
        let foreign_mib = looks.iter().copied().max().unwrap_or(0);
        Observed { foreign_mib, ..seen }
    }

    fn look_for_trouble(&mut self, sample: &GpuSample) {
        let hardware = sample.xids.iter().find(|xid| xid_severity(**xid) == XidSeverity::Hardware);
        for xid in &sample.xids {
            metrics::counter!(metric::GPU_XID_ERRORS, "host" => self.agent.host_name.clone(),
                "gpu" => sample.uuid.as_str().to_owned(), "xid" => xid.to_string())
            .increment(1);
            if self.xids.len() == MAX_PENDING_XIDS {
                self.xids.pop_front();
            }
            self.xids.push_back((sample.uuid.clone(), u32::try_from(*xid).unwrap_or(u32::MAX)));
        }
        let problem = match (&sample.health, hardware) {
            (GpuHealth::Lost, _) => Some(("the driver has lost it".to_owned(), PROBATION)),
            (GpuHealth::ResetRequired, _) => Some(("it needs a reset".to_owned(), PROBATION)),
            (GpuHealth::Unreadable { .. }, _) => {
                Some(("it does not answer in a way that is understood".to_owned(), PROBATION))
            }
            (GpuHealth::Healthy, Some(xid)) => {
                Some((format!("hardware error XID {xid}"), PROBATION_AFTER_XID))
            }
            (GpuHealth::Healthy, None) => None,
        };
        if let Some((what, time)) = problem {
            let until = Instant::now() + time;
            let trouble = self.trouble.entry(sample.uuid.clone()).or_insert_with(|| Trouble {
                what: what.clone(),
                until,
                stored: false,
            });
            trouble.until = trouble.until.max(until);
            if trouble.what != what {
                *trouble = Trouble { what, until: trouble.until, stored: false };
            }
        }
    }

    async fn store_trouble(&mut self, connection: &mut db::Conn) -> Result<(), db::Error> {
        let now = Instant::now();
        let over: Vec<GpuUuid> = self
            .trouble
            .iter()
            .filter(|(_, trouble)| trouble.until <= now)
            .map(|(gpu, _)| gpu.clone())
            .collect();
        for (gpu, trouble) in self.trouble.iter_mut().filter(|(_, trouble)| !trouble.stored) {
            gpus::set_health(connection, gpu, Some(&trouble.what)).await?;
            tracing::error!(%gpu, problem = trouble.what, "a GPU is not used for now");
            let entry = Entry::new(Operation::Error, &Agent::actor())
                .host(self.agent.host_name.clone())
                .gpus(vec![gpu.to_string()])
                .failed(&trouble.what);
            audit::write(connection, entry).await?;
            trouble.stored = true;
        }
        for gpu in over {
            gpus::set_health(connection, &gpu, None).await?;
            tracing::info!(%gpu, "a GPU is well again");
            self.trouble.remove(&gpu);
        }
        Ok(())
    }

    fn export(&self, gpus: &[Gpu], observed: &[Observed], reservations: &[Reserved]) {
        let host = &self.agent.host_name;
        for seen in observed {
            let Some(gpu) = gpus.iter().find(|gpu| gpu.uuid == seen.gpu_uuid) else { continue };
            let reserved: u32 = reservations
                .iter()
                .filter(|reserved| reserved.gpu == gpu.uuid)
                .map(|reserved| reserved.reserved_mib)
                .sum();
            let set = |name: &'static str, value: f64| {
                metrics::gauge!(name, "host" => host.clone(), "gpu" => gpu.uuid.as_str().to_owned())
                    .set(value);
            };
            set(metric::GPU_MEMORY_TOTAL, f64::from(gpu.total_mib) * MIB);
            set(metric::GPU_MEMORY_USED, f64::from(seen.used_mib) * MIB);
            set(metric::GPU_MEMORY_RESERVED, f64::from(reserved) * MIB);
            set(metric::GPU_MEMORY_FOREIGN, f64::from(seen.foreign_mib) * MIB);
            if let Some(percent) = seen.utilization_percent {
                set(metric::GPU_UTILIZATION, f64::from(percent) / 100.0);
            }
            if let Some(celsius) = seen.temperature_celsius {
                set(metric::GPU_TEMPERATURE, f64::from(celsius));
            }
            if let Some(milliwatts) = seen.power_milliwatts {
                set(metric::GPU_POWER, f64::from(milliwatts) / 1_000.0);
            }
            metrics::gauge!(metric::GPU_INFO, "host" => host.clone(), "gpu" => gpu.uuid.as_str().to_owned(),
                "model" => gpu.model.clone(), "origin" => gpu.origin.as_str())
            .set(1.0);
        }
    }
}
