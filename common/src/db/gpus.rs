//! GPUs: their registration with a host, and what was seen of them.
//!
//! The ledger (`gpus`) is written here at registration only. Telemetry goes to tables of its own, so that it
//! neither locks nor bloats the ledger.

use cyberbrain_core::ids::{GpuUuid, HostId};
use serde::Serialize;

use super::{Conn, Error, hosts::RegisterError, sentence};

/// A GPU as the driver, or an option, describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuFacts {
    pub uuid: GpuUuid,
    pub index: u32,
    pub model: String,
    pub simulated: bool,
    pub total_mib: u32,
    /// Total minus what the driver keeps for itself.
    pub allocatable_mib: u32,
}

/// Registers the GPUs that a host has now; its others become `gone`.
///
/// # Errors
/// [`RegisterError::GpuTaken`], or a database error; roll back then.
pub async fn register(connection: &mut Conn, host: HostId, gpus: &[GpuFacts]) -> Result<(), RegisterError> {
    let uuids: Vec<String> = gpus.iter().map(|gpu| gpu.uuid.as_str().to_owned()).collect();
    let taken = sqlx::query!(
        "select g.uuid, h.name as host from gpus g join hosts h on h.id = g.host_id
         where g.uuid = any($1) and g.host_id <> $2 and (g.reserved_mib > 0
             or exists (select 1 from launchers l where l.host_id = h.id and l.state = 'live'))
         order by g.uuid limit 1",
        &uuids,
        host.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(taken) = taken {
        return Err(RegisterError::GpuTaken { uuid: taken.uuid, host: taken.host });
    }
    // Indexes are the driver's and may have moved; out of the way first, so that they can be dealt out again.
    sqlx::query!(
        "update gpus g set index = moved.index from (
             select uuid, (select max(index) from gpus where host_id = $1) + 1000
                 + (row_number() over (order by uuid))::integer as index
             from gpus where host_id = $1) moved
         where g.uuid = moved.uuid",
        host.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    let rows = serde_json::to_value(gpus).expect("GPU rows serialize: all keys are text");
    sqlx::query!(
        "insert into gpus as g (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
         select c.uuid, $1, c.index, c.model, c.simulated, c.total_mib, c.allocatable_mib
         from jsonb_to_recordset($2) as c(uuid text, index integer, model text, simulated boolean,
             total_mib integer, allocatable_mib integer)
         order by c.uuid
         on conflict (uuid) do update set
             host_id = excluded.host_id, index = excluded.index, model = excluded.model,
             simulated = excluded.simulated, total_mib = greatest(excluded.total_mib, g.reserved_mib),
             allocatable_mib = greatest(excluded.allocatable_mib, g.reserved_mib),
             health = case when g.health = 'gone' then 'healthy' else g.health end,
             health_reason = case when g.health = 'gone' then null else g.health_reason end",
        host.uuid(),
        rows,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update gpus set health = 'gone', health_reason = 'not found when its host registered'
         where host_id = $1 and uuid <> all($2) and health <> 'gone'",
        host.uuid(),
        &uuids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What one look at a GPU showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed {
    pub gpu_uuid: GpuUuid,
    pub used_mib: u32,
    /// Seen beyond the reservations of our own containers.
    pub overshoot_mib: u32,
    /// Used by nobody of ours.
    pub foreign_mib: u32,
    pub utilization_percent: Option<u8>,
    pub temperature_celsius: Option<i16>,
    pub power_milliwatts: Option<u32>,
    /// The driver's bits of what holds the clocks down.
    pub throttle_reasons: Option<u16>,
    /// Memory errors since the driver was loaded.
    pub ecc_corrected: Option<u64>,
    pub ecc_uncorrected: Option<u64>,
}

/// Stores the newest look at each of these GPUs and raises their sample counters.
///
/// # Errors
/// A database error.
pub async fn observe(connection: &mut Conn, observed: &[Observed]) -> Result<(), Error> {
    sqlx::query!(
        "insert into gpu_observed as o (gpu_uuid, sample_seq, used_mib, overshoot_mib, foreign_mib,
             utilization_percent, temperature_celsius, power_milliwatts)
         select c.gpu_uuid, 1, c.used_mib, c.overshoot_mib, c.foreign_mib, c.utilization_percent,
             c.temperature_celsius, c.power_milliwatts
         from jsonb_to_recordset($1) as c(gpu_uuid text, used_mib integer, overshoot_mib integer,
             foreign_mib integer, utilization_percent smallint, temperature_celsius smallint,
             power_milliwatts integer)
         join gpus g on g.uuid = c.gpu_uuid
         order by c.gpu_uuid
         on conflict (gpu_uuid) do update set
             sample_seq = o.sample_seq + 1, used_mib = excluded.used_mib, overshoot_mib = excluded.overshoot_mib,
             foreign_mib = excluded.foreign_mib, utilization_percent = excluded.utilization_percent,
             temperature_celsius = excluded.temperature_celsius, power_milliwatts = excluded.power_milliwatts,
             observed_at = now()",
        to_json(observed),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps one sample of each of these GPUs, with what is reserved at this moment.
///
/// # Errors
/// A database error.
pub async fn keep_samples(connection: &mut Conn, observed: &[Observed]) -> Result<(), Error> {
    sqlx::query!(
        "insert into gpu_samples (gpu_uuid, used_mib, reserved_mib, foreign_mib, utilization_percent,
             temperature_celsius, throttle_reasons, ecc_corrected, ecc_uncorrected)
         select c.gpu_uuid, c.used_mib, g.reserved_mib, c.foreign_mib, c.utilization_percent, c.temperature_celsius,
             c.throttle_reasons, c.ecc_corrected, c.ecc_uncorrected
         from jsonb_to_recordset($1) as c(gpu_uuid text, used_mib integer, foreign_mib integer,
             utilization_percent smallint, temperature_celsius smallint, throttle_reasons smallint,
             ecc_corrected bigint, ecc_uncorrected bigint)
         join gpus g on g.uuid = c.gpu_uuid
         on conflict (gpu_uuid, at) do nothing",
        to_json(observed),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps critical errors that the driver told, and forgets a GPU's oldest beyond a thousand. One of a GPU that is not registered
/// is dropped.
///
/// # Errors
/// A database error.
pub async fn keep_xids(connection: &mut Conn, xids: &[(GpuUuid, u32)]) -> Result<(), Error> {
    if xids.is_empty() {
        return Ok(());
    }
    let uuids: Vec<String> = xids.iter().map(|(gpu, _)| gpu.as_str().to_owned()).collect();
    let numbers: Vec<i32> = xids.iter().map(|(_, xid)| i32::try_from(*xid).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "insert into gpu_xid_events (gpu_uuid, xid)
         select c.gpu_uuid, c.xid from unnest($1::text[], $2::integer[]) as c(gpu_uuid, xid)
         join gpus g on g.uuid = c.gpu_uuid",
        &uuids,
        &numbers,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from gpu_xid_events where id in (
             select o.id from gpus g cross join lateral (
                 select id from gpu_xid_events where gpu_uuid = g.uuid order by at desc, id desc offset 1000) o
             where g.uuid = any($1))",
        &uuids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a GPU can't be used, or can again. Returns whether that is news.
///
/// # Errors
/// A database error.
pub async fn set_health(connection: &mut Conn, gpu: &GpuUuid, problem: Option<&str>) -> Result<bool, Error> {
    let changed = sqlx::query!(
        "update gpus set health = case when $2::text is null then 'healthy' else 'unhealthy' end, health_reason = $2
         where uuid = $1 and health <> case when $2::text is null then 'healthy' else 'unhealthy' end",
        gpu.as_str(),
        problem.map(sentence::health),
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// What is reserved on a GPU, and by which live attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    pub gpu: GpuUuid,
    pub attempt: cyberbrain_core::ids::AttemptId,
    pub reserved_mib: u32,
}

/// The live reservations on a host's GPUs.
///
/// # Errors
/// A database error.
pub async fn reservations(connection: &mut Conn, host: HostId) -> Result<Vec<Reserved>, Error> {
    let rows = sqlx::query!(
        "select l.gpu_uuid, l.attempt_id, l.reserved_mib from gpu_leases l join gpus g on g.uuid = l.gpu_uuid
         where g.host_id = $1 and l.released_at is null",
        host.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Reserved {
            gpu: GpuUuid::new(row.gpu_uuid),
            attempt: row.attempt_id.into(),
            reserved_mib: row.reserved_mib.unsigned_abs(),
        })
        .collect())
}

fn to_json(observed: &[Observed]) -> serde_json::Value {
    serde_json::to_value(observed).expect("samples serialize: all keys are text")
}
