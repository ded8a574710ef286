//! The model: everything that one tick decides on, as plain data.
//!
//! It knows no rows, no attempts and no launchers. The scheduler fills it with ALL hosts and GPUs that are known, also
//! lost and cordoned ones: infeasible is judged against them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    ids::{GpuUuid, HostId, RunJobId},
    spec::{GpuChoice, GpuPolicy, GpuRequest, ImageRef, OnMiss, Resources},
    text_enum,
};

/// What one tick decides on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problem {
    /// Every known host.
    pub hosts: Vec<Host>,
    /// Every known GPU; its host must be in `hosts`.
    pub gpus: Vec<Gpu>,
    /// Waiting RunJobs grouped by (priority, submitter, shape).
    pub classes: Vec<Class>,
    /// Open attempts per submitter; who is missing holds none.
    pub held: BTreeMap<String, u64>,
    pub options: Options,
}

text_enum! {
    /// Whether a host takes new work.
    Placeability("host placeability") {
        Ready = "ready",
        Cordoned = "cordoned",
        Draining = "draining",
        /// Out of contact, not yet given up.
        Silent = "silent",
        /// Out of contact for so long that its work is replaced.
        Lost = "lost",
        /// In contact, but it has not compared its containers with the database yet.
        NotReconciled = "not_reconciled",
    }
}

/// A host and what is free on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    pub id: HostId,
    pub name: String,
    pub placeability: Placeability,
    /// Since its registration.
    pub age_seconds: u64,
    pub cpu_millis_total: u32,
    /// Total minus the ledger.
    pub cpu_millis_free: u32,
    pub memory_mib_total: u32,
    /// Total minus the ledger.
    pub memory_mib_free: u32,
    /// Images that need no pull there.
    pub images: BTreeSet<ImageRef>,
    /// Open attempts now.
    pub attempts_open: u32,
    /// Most open attempts that its launchers take.
    pub attempts_max: u32,
}

text_enum! {
    /// How far the numbers of a GPU can be trusted.
    Telemetry("telemetry freshness") {
        Fresh = "fresh",
        /// Too old to decide on; never read as idle.
        Stale = "stale",
        /// There has never been a sample.
        Never = "never",
    }
}

text_enum! {
    /// Health of a GPU.
    GpuHealth("GPU health") {
        Healthy = "healthy",
        Unhealthy = "unhealthy",
        /// The driver does not list it any more.
        Gone = "gone",
    }
}

text_enum! {
    /// Whether a person or the health rule closed something for new work.
    Cordon("cordon") {
        Open = "open",
        Cordoned = "cordoned",
    }
}

/// A GPU, its ledger and what is seen on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    pub uuid: GpuUuid,
    pub host: HostId,
    /// Index on its host; for people and for ties only.
    pub index: u32,
    pub model: String,
    pub total_mib: u32,
    /// Most that may be reserved on it, by the ledger's CHECK.
    pub allocatable_mib: u32,
    /// Sum of the open leases.
    pub reserved_mib: u32,
    /// What our own containers use beyond their leases: sum of `max(0, seen - reserved)` per lease.
    pub overshoot_mib: u32,
    /// Used by processes that are not ours.
    pub foreign_mib: u32,
    /// Observed; `None` where the card does not tell, which scores as fully busy.
    pub utilization_percent: Option<u32>,
    /// Expected of the leases younger than 30 s, summed up: they are not seen yet.
    pub expected_utilization_percent: u32,
    pub telemetry: Telemetry,
    pub health: GpuHealth,
    pub cordon: Cordon,
}

/// What placement reads of a RunJob's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub resources: Resources,
    pub gpu: GpuRequest,
    pub image: ImageRef,
    /// Name of the only host that may run it.
    pub host: Option<String>,
}

/// Waiting RunJobs that differ in nothing that placement reads but their age.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// A higher number goes first.
    pub priority: i32,
    pub submitter: String,
    pub request: Request,
    /// How many wait, the heads included.
    pub waiting: u64,
    /// The oldest ones.
    pub heads: Vec<Head>,
}

/// One waiting RunJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub run_job: RunJobId,
    pub waiting_since: DateTime<Utc>,
    /// From when on `prefer` takes a CPU place; not read under the other policies.
    pub prefer_expires: DateTime<Utc>,
}

text_enum! {
    /// Which of the fitting cards is taken.
    Strategy("placement strategy") {
        /// The lowest seed score: the emptiest, least busy card.
        Spread = "spread",
        /// The fullest card that fits, which keeps whole cards free.
        Pack = "pack",
    }
}

/// Memory of each card that is never given away: contexts that nobody declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Safety {
    pub at_least_mib: u32,
    pub percent: u32,
}

/// The knobs of placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub strategy: Strategy,
    pub safety: Safety,
    /// Most foreign memory on a card that still counts as a whole card.
    pub whole_card_foreign_mib: u32,
    /// Expected of one new lease until it is seen.
    pub expected_utilization_percent: u32,
    /// After this wait for capacity, smaller RunJobs leave the oldest one's best place alone.
    pub starvation_seconds: u32,
    /// A host younger than this may still be reporting its GPUs for the first time.
    pub young_host_seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            strategy: Strategy::Spread,
            safety: Safety { at_least_mib: 256, percent: 2 },
            whole_card_foreign_mib: 1_024,
            expected_utilization_percent: 50,
            starvation_seconds: 300,
            young_host_seconds: 60,
        }
    }
}

impl Request {
    /// Whether a GPU is asked for.
    #[must_use]
    pub const fn wants_gpu(&self) -> bool {
        match self.gpu.policy {
            GpuPolicy::None => false,
            GpuPolicy::Require | GpuPolicy::Prefer => true,
        }
    }

    /// How many cards are asked for.
    #[must_use]
    pub const fn cards(&self) -> u32 {
        match self.gpu.policy {
            GpuPolicy::None => 0,
            GpuPolicy::Require | GpuPolicy::Prefer if self.gpu.count == 0 => 1,
            GpuPolicy::Require | GpuPolicy::Prefer => self.gpu.count,
        }
    }

    /// VRAM asked for on each card, in MiB; `None` (also for 0) means the whole card.
    #[must_use]
    pub const fn stated_vram_mib(&self) -> Option<u32> {
        match self.gpu.min_vram_mib {
            None | Some(0) => None,
            Some(mib) => Some(mib),
        }
    }

    /// The named card and what to do without it, if one is named.
    #[must_use]
    pub fn named_gpu(&self) -> Option<(String, OnMiss)> {
        match &self.gpu.choice {
            GpuChoice::Any => None,
            GpuChoice::Uuid { uuid, on_miss } => Some((uuid.to_string(), *on_miss)),
            GpuChoice::Index { index, host: None, on_miss } => Some((format!("GPU {index}"), *on_miss)),
            GpuChoice::Index { index, host: Some(host), on_miss } => {
                Some((format!("GPU {index} of host {host}"), *on_miss))
            }
        }
    }
}
