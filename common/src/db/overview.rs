//! The machines as people look at them: hosts and GPUs with their ledgers and what was last seen on them.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{GpuUuid, HostId},
    placement::GpuHealth,
    text_enum,
};

use super::{Col, Conn, Error};

/// The most rows of one kind that are listed.
const MAX_LISTED: i64 = 10_000;

text_enum! {
    /// What the scheduler counted of a host's contact.
    Presence("host presence") {
        Live = "live",
        Silent = "silent",
        Lost = "lost",
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOverview {
    pub id: HostId,
    pub name: String,
    pub runtime: String,
    pub presence: Presence,
    /// Set by the first full reconcile; it takes no work before.
    pub reconciled: bool,
    pub cordoned: bool,
    pub cordon_reason: Option<String>,
    pub draining: bool,
    pub guarded: bool,
    pub cpu_millis: i32,
    pub reserved_cpu_millis: i32,
    pub memory_mib: i32,
    pub reserved_memory_mib: i32,
    pub open_attempts: i32,
    pub max_attempts: i32,
    pub gpus: i64,
    pub launchers: i64,
    pub registered_at: DateTime<Utc>,
    pub last_contact_at: DateTime<Utc>,
}

/// Every known host, by name; with `only`, just that one.
///
/// # Errors
/// When the database can't be read.
pub async fn hosts(connection: &mut Conn, only: Option<HostId>) -> Result<Vec<HostOverview>, Error> {
    let rows = sqlx::query!(
        r#"select h.id, h.name, h.runtime, h.presence as "presence: Col<Presence>",
             h.reconciled_at is not null as "reconciled!", h.cordoned, h.cordon_reason, h.draining, h.guarded,
             h.cpu_millis, h.reserved_cpu_millis, h.memory_mib, h.reserved_memory_mib, h.open_attempts,
             h.max_attempts, (select count(*) from gpus g where g.host_id = h.id) as "gpus!",
             (select count(*) from launchers l where l.host_id = h.id and l.state = 'live') as "launchers!",
             h.registered_at, h.last_contact_at
           from hosts h where h.forgotten_at is null and ($2::uuid is null or h.id = $2) order by h.name limit $1"#,
        MAX_LISTED,
        only.map(HostId::uuid),
    )
    .fetch_all(connection)
    .await?;
    let hosts = rows.into_iter().map(|row| HostOverview {
        id: row.id.into(),
        name: row.name,
        runtime: row.runtime,
        presence: row.presence.0,
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
    });
    Ok(hosts.collect())
}

/// A GPU with its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuOverview {
    pub uuid: GpuUuid,
    pub host_id: HostId,
    pub host: String,
    pub index: i32,
    pub model: String,
    pub simulated: bool,
    pub total_mib: i32,
    pub allocatable_mib: i32,
    /// Sum of the live leases.
    pub reserved_mib: i32,
    pub leases: i64,
    pub health: GpuHealth,
    pub health_reason: Option<String>,
    pub cordoned: bool,
    pub cordon_reason: Option<String>,
    /// `None` before the first sample.
    pub observed: Option<Observed>,
}

/// What was last seen on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub at: DateTime<Utc>,
    /// Since then, by the database's clock.
    pub age_seconds: i64,
    pub used_mib: i32,
    /// Used by our containers beyond their leases.
    pub overshoot_mib: i32,
    /// Used by processes that are not ours.
    pub foreign_mib: i32,
    pub utilization_percent: Option<i16>,
    pub temperature_celsius: Option<i16>,
    pub power_milliwatts: Option<i32>,
}

/// Every known GPU, by host and index; with `only`, just the one with that UUID.
///
/// # Errors
/// When the database can't be read.
pub async fn gpus(connection: &mut Conn, only: Option<&str>) -> Result<Vec<GpuOverview>, Error> {
    let rows = sqlx::query!(
        r#"select g.uuid, g.host_id, h.name as host, g.index, g.model, g.simulated, g.total_mib, g.allocatable_mib,
             g.reserved_mib, g.health as "health: Col<GpuHealth>", g.health_reason, g.cordoned, g.cordon_reason,
             (select count(*) from gpu_leases l where l.gpu_uuid = g.uuid and l.released_at is null) as "leases!",
             o.observed_at as "observed_at?", extract(epoch from now() - o.observed_at)::bigint as age_seconds,
             o.used_mib as "used_mib?", o.overshoot_mib as "overshoot_mib?", o.foreign_mib as "foreign_mib?",
             o.utilization_percent, o.temperature_celsius, o.power_milliwatts
           from gpus g join hosts h on h.id = g.host_id and h.forgotten_at is null
           left join gpu_observed o on o.gpu_uuid = g.uuid and o.sample_seq > 0
           where $2::text is null or g.uuid = $2
           order by h.name, g.index limit $1"#,
        MAX_LISTED,
        only,
    )
    .fetch_all(connection)
    .await?;
    let gpus = rows.into_iter().map(|row| GpuOverview {
        uuid: row.uuid.into(),
        host_id: row.host_id.into(),
        host: row.host,
        index: row.index,
        model: row.model,
        simulated: row.simulated,
        total_mib: row.total_mib,
        allocatable_mib: row.allocatable_mib,
        reserved_mib: row.reserved_mib,
        leases: row.leases,
        health: row.health.0,
        health_reason: row.health_reason,
        cordoned: row.cordoned,
        cordon_reason: row.cordon_reason,
        observed: row.observed_at.map(|at| Observed {
            at,
            age_seconds: row.age_seconds.unwrap_or(0).max(0),
            used_mib: row.used_mib.unwrap_or(0),
            overshoot_mib: row.overshoot_mib.unwrap_or(0),
            foreign_mib: row.foreign_mib.unwrap_or(0),
            utilization_percent: row.utilization_percent,
            temperature_celsius: row.temperature_celsius,
            power_milliwatts: row.power_milliwatts,
        }),
    });
    Ok(gpus.collect())
}
