//! Hosts and GPUs.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{
    machines::Cleanup,
    overview::{GpuOverview, HostOverview, Presence},
};
use cyberbrain_core::{
    ids::{GpuUuid, HostId},
    placement::{Cordon, Gpu as PlacementGpu, GpuHealth, Options, Telemetry, effective_free_mib, seed_score},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A host with its ledger.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HostView {
    pub id: HostId,
    pub name: String,
    /// What runs workers there: `docker`, `process` or `simulated`.
    pub runtime: String,
    pub presence: Presence,
    /// Whether it has compared its containers with the database; it takes no work before.
    pub reconciled: bool,
    pub cordoned: bool,
    pub cordon_reason: Option<String>,
    pub draining: bool,
    /// Whether its guard answered at the last contact.
    pub guarded: bool,
    pub cpu_millis: i32,
    pub reserved_cpu_millis: i32,
    pub memory_mib: i32,
    pub reserved_memory_mib: i32,
    pub open_attempts: i32,
    pub max_attempts: i32,
    pub gpus: i64,
    /// Live launcher processes.
    pub launchers: i64,
    pub registered_at: DateTime<Utc>,
    pub last_contact_at: DateTime<Utc>,
}

impl From<HostOverview> for HostView {
    fn from(row: HostOverview) -> Self {
        Self {
            id: row.id,
            name: row.name,
            runtime: row.runtime,
            presence: row.presence,
            reconciled: row.reconciled,
            cordoned: row.cordoned,
            cordon_reason: row.cordon_reason,
            draining: row.draining,
            guarded: row.guarded,
            cpu_millis: row.cpu_millis,
            reserved_cpu_millis: row.reserved_cpu_millis,
            memory_mib: row.memory_mib,
            reserved_memory_mib: row.reserved_memory_mib,
            open_attempts: row.open_attempts,
            max_attempts: row.max_attempts,
            gpus: row.gpus,
            launchers: row.launchers,
            registered_at: row.registered_at,
            last_contact_at: row.last_contact_at,
        }
    }
}

/// A host with what was found in the last look through its containers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HostDetail {
    #[serde(flatten)]
    host: HostView,
    /// Null when nobody has asked for one yet.
    last_cleanup: Option<CleanupView>,
}

impl HostDetail {
    pub(crate) fn new(host: HostOverview, cleanup: Option<Cleanup>) -> Self {
        Self { host: host.into(), last_cleanup: cleanup.map(Into::into) }
    }
}

/// A look through the containers of a host.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CleanupView {
    requested_by: String,
    requested_at: DateTime<Utc>,
    /// Null while it is still to be done.
    done_at: Option<DateTime<Utc>>,
    /// Containers of this installation that were there.
    seen: Option<i32>,
    /// Those of ended attempts, which were removed.
    removed: Option<i32>,
    /// Those that no attempt explains; they are left alone.
    quarantined: Option<i32>,
}

impl From<Cleanup> for CleanupView {
    fn from(Cleanup { requested_by, requested_at, done }: Cleanup) -> Self {
        let counts = done.map(|done| done.counts);
        Self {
            requested_by,
            requested_at,
            done_at: done.map(|done| done.at),
            seen: counts.map(|counts| counts.seen),
            removed: counts.map(|counts| counts.removed),
            quarantined: counts.map(|counts| counts.quarantined),
        }
    }
}

/// All hosts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HostList {
    pub hosts: Vec<HostView>,
}

/// A GPU: its ledger, what is seen on it, and the score that follows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct GpuView {
    pub uuid: GpuUuid,
    pub host: String,
    pub index: i32,
    pub model: String,
    pub simulated: bool,
    pub health: GpuHealth,
    pub health_reason: Option<String>,
    pub cordoned: bool,
    pub cordon_reason: Option<String>,
    pub total_mib: i32,
    /// Most that may be reserved.
    pub allocatable_mib: i32,
    /// Sum of the live leases.
    pub reserved_mib: i32,
    /// Live leases: the workers that have this card.
    pub leases: i64,
    /// What may still be promised: total less reserved, overshoot, foreign use and a safety margin.
    pub effective_free_mib: u32,
    /// `0.6 · (1 − free / total) + 0.4 · utilization / 100` on effective free memory; lower is better. Null without a
    /// sample or memory.
    pub score: Option<f64>,
    pub observed: Option<ObservedView>,
}

/// What was last seen on a GPU.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ObservedView {
    pub at: DateTime<Utc>,
    pub age_seconds: i64,
    pub used_mib: i32,
    /// Used by our workers beyond their leases.
    pub overshoot_mib: i32,
    /// Used by processes that are not ours.
    pub foreign_mib: i32,
    /// Null if the card does not say; it scores as fully busy then.
    pub utilization_percent: Option<i16>,
    pub temperature_celsius: Option<i16>,
    pub power_milliwatts: Option<i32>,
}

impl From<GpuOverview> for GpuView {
    fn from(row: GpuOverview) -> Self {
        let options = Options::default();
        let card = as_placement_sees_it(&row);
        let free = effective_free_mib(&card, options.safety);
        // A card that does not tell is taken as busy.
        let utilization = card.utilization_percent.unwrap_or(100);
        let score = row.observed.as_ref().and_then(|_| seed_score(card.total_mib, free, utilization));
        Self {
            uuid: row.uuid,
            host: row.host,
            index: row.index,
            model: row.model,
            simulated: row.simulated,
            health: row.health,
            health_reason: row.health_reason,
            cordoned: row.cordoned,
            cordon_reason: row.cordon_reason,
            total_mib: row.total_mib,
            allocatable_mib: row.allocatable_mib,
            reserved_mib: row.reserved_mib,
            leases: row.leases,
            effective_free_mib: free,
            score,
            observed: row.observed.map(|seen| ObservedView {
                at: seen.at,
                age_seconds: seen.age_seconds,
                used_mib: seen.used_mib,
                overshoot_mib: seen.overshoot_mib,
                foreign_mib: seen.foreign_mib,
                utilization_percent: seen.utilization_percent,
                temperature_celsius: seen.temperature_celsius,
                power_milliwatts: seen.power_milliwatts,
            }),
        }
    }
}

fn as_placement_sees_it(row: &GpuOverview) -> PlacementGpu {
    let seen = row.observed.as_ref();
    PlacementGpu {
        uuid: row.uuid.clone(),
        host: row.host_id,
        index: row.index.unsigned_abs(),
        model: row.model.clone(),
        total_mib: row.total_mib.unsigned_abs(),
        allocatable_mib: row.allocatable_mib.unsigned_abs(),
        reserved_mib: row.reserved_mib.unsigned_abs(),
        overshoot_mib: seen.map_or(0, |seen| seen.overshoot_mib.unsigned_abs()),
        foreign_mib: seen.map_or(0, |seen| seen.foreign_mib.unsigned_abs()),
        utilization_percent: seen
            .and_then(|seen| seen.utilization_percent)
            .map(|percent| percent.unsigned_abs().into()),
        expected_utilization_percent: 0,
        // The scheduler counts staleness; here the age is shown.
        telemetry: if seen.is_some() { Telemetry::Fresh } else { Telemetry::Never },
        health: row.health,
        cordon: if row.cordoned { Cordon::Cordoned } else { Cordon::Open },
    }
}

/// All GPUs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct GpuList {
    pub gpus: Vec<GpuView>,
}
