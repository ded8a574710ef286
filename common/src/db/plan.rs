//! What placement plans on: all known hosts and GPUs with their ledgers, as `core::placement` sees them.
//!
//! Deliberately absent: writing a plan, which is `transition_all`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{GpuUuid, HostId},
    placement::{Cordon, Gpu, GpuHealth, Host, Placeability, Telemetry},
    spec::ImageRef,
    watch::Presence,
};

use super::{Col, Conn, Error};

/// A lease younger than this is not seen in the telemetry yet.
const UNSEEN_LEASE_SECONDS: f64 = 30.0;

/// The time that this snapshot of the database was made.
///
/// # Errors
/// A database error.
pub async fn now(connection: &mut Conn) -> Result<DateTime<Utc>, Error> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(connection).await?)
}

/// Makes everything that this transaction reads one picture of one moment. First of its statements.
///
/// # Errors
/// A database error.
pub async fn freeze(connection: &mut Conn) -> Result<(), Error> {
    sqlx::query("set transaction isolation level repeatable read, read only").execute(connection).await?;
    Ok(())
}

/// All known hosts.
///
/// # Errors
/// A database error.
pub async fn hosts(connection: &mut Conn) -> Result<Vec<Host>, Error> {
    let mut images = images(connection).await?;
    let rows = sqlx::query!(
        r#"select id, name, presence as "presence: Col<Presence>", cordoned, draining,
             reconciled_at is not null as "reconciled!",
             extract(epoch from now() - registered_at)::bigint as "age_seconds!",
             cpu_millis, reserved_cpu_millis, memory_mib, reserved_memory_mib, open_attempts, max_attempts
           from hosts where forgotten_at is null"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Host {
            id: row.id.into(),
            name: row.name,
            placeability: match (row.presence.0, row.cordoned, row.draining, row.reconciled) {
                (Presence::Lost, _, _, _) => Placeability::Lost,
                (Presence::Live | Presence::Silent, true, _, _) => Placeability::Cordoned,
                (Presence::Live | Presence::Silent, false, true, _) => Placeability::Draining,
                (Presence::Silent, false, false, _) => Placeability::Silent,
                (Presence::Live, false, false, false) => Placeability::NotReconciled,
                (Presence::Live, false, false, true) => Placeability::Ready,
            },
            age_seconds: u64::try_from(row.age_seconds).unwrap_or(0),
            cpu_millis_total: row.cpu_millis.unsigned_abs(),
            cpu_millis_free: (row.cpu_millis - row.reserved_cpu_millis).unsigned_abs(),
            memory_mib_total: row.memory_mib.unsigned_abs(),
            memory_mib_free: (row.memory_mib - row.reserved_memory_mib).unsigned_abs(),
            images: images.remove(&HostId::from(row.id)).unwrap_or_default(),
            attempts_open: row.open_attempts.unsigned_abs(),
            attempts_max: row.max_attempts.unsigned_abs(),
        })
        .collect())
}

async fn images(connection: &mut Conn) -> Result<BTreeMap<HostId, BTreeSet<ImageRef>>, Error> {
    let rows = sqlx::query!("select host_id, name, tag from host_images").fetch_all(connection).await?;
    let mut images: BTreeMap<HostId, BTreeSet<ImageRef>> = BTreeMap::new();
    for row in rows {
        images.entry(row.host_id.into()).or_default().insert(ImageRef { name: row.name, tag: row.tag });
    }
    Ok(images)
}

/// All known GPUs. Their telemetry is `Never` or `Fresh` here; whether it stands still is counted by whoever
/// watches the sample counters. `expected_percent` is what a lease that is not seen yet adds to the utilization.
///
/// # Errors
/// A database error.
pub async fn gpus(connection: &mut Conn, expected_percent: u32) -> Result<Vec<Gpu>, Error> {
    let rows = sqlx::query!(
        r#"select g.uuid as "uuid!", g.host_id as "host_id!", g.index as "index!", g.model as "model!",
             g.total_mib as "total_mib!", g.allocatable_mib as "allocatable_mib!",
             g.reserved_mib as "reserved_mib!", g.health as "health!: Col<GpuHealth>",
             g.cordoned as "cordoned!",
             coalesce(o.sample_seq, 0) as "sample_seq!", coalesce(o.overshoot_mib, 0) as "overshoot_mib!",
             coalesce(o.foreign_mib, 0) as "foreign_mib!", o.utilization_percent as "utilization_percent?",
             coalesce(l.unseen, 0) as "unseen!"
           from gpus g
           join hosts h on h.id = g.host_id and h.forgotten_at is null
           left join gpu_observed o on o.gpu_uuid = g.uuid
           left join (
               select gpu_uuid, count(*) as unseen from gpu_leases
               where released_at is null and created_at > clock_timestamp() - make_interval(secs => $1)
               group by gpu_uuid) l on l.gpu_uuid = g.uuid"#,
        UNSEEN_LEASE_SECONDS,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Gpu {
            uuid: GpuUuid::new(row.uuid),
            host: row.host_id.into(),
            index: row.index.unsigned_abs(),
            model: row.model,
            total_mib: row.total_mib.unsigned_abs(),
            allocatable_mib: row.allocatable_mib.unsigned_abs(),
            reserved_mib: row.reserved_mib.unsigned_abs(),
            overshoot_mib: row.overshoot_mib.unsigned_abs(),
            foreign_mib: row.foreign_mib.unsigned_abs(),
            utilization_percent: row.utilization_percent.map(|percent| u32::from(percent.unsigned_abs())),
            expected_utilization_percent: u32::try_from(row.unseen)
                .unwrap_or(u32::MAX)
                .saturating_mul(expected_percent),
            telemetry: if row.sample_seq > 0 { Telemetry::Fresh } else { Telemetry::Never },
            health: row.health.0,
            cordon: if row.cordoned { Cordon::Cordoned } else { Cordon::Open },
        })
        .collect())
}

/// A card whose live leases add up to more than it has, or to something else than its ledger says. None is the
/// promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overbooked {
    pub gpu: GpuUuid,
    pub leased_mib: i64,
    pub reserved_mib: i32,
    pub total_mib: i32,
}

/// Looks for broken promises.
///
/// # Errors
/// A database error.
pub async fn overbooked(connection: &mut Conn) -> Result<Vec<Overbooked>, Error> {
    let rows = sqlx::query!(
        r#"select g.uuid as "uuid!", g.reserved_mib as "reserved_mib!", g.total_mib as "total_mib!",
             coalesce(sum(l.reserved_mib), 0)::bigint as "leased_mib!"
           from gpus g left join gpu_leases l on l.gpu_uuid = g.uuid and l.released_at is null
           group by g.uuid, g.reserved_mib, g.total_mib
           having coalesce(sum(l.reserved_mib), 0) > g.total_mib or coalesce(sum(l.reserved_mib), 0) <> g.reserved_mib
           order by g.uuid"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Overbooked {
            gpu: GpuUuid::new(row.uuid),
            leased_mib: row.leased_mib,
            reserved_mib: row.reserved_mib,
            total_mib: row.total_mib,
        })
        .collect())
}
