//! What was observed of GPUs, and who held them, over a window: what `gpu_report` is given.

use std::collections::BTreeMap;

use cyberbrain_core::{
    ids::GpuUuid,
    staging::{GpuHistory, GpuOrigin, GpuSample, LeaseSpan, Window},
};

use super::{Conn, Error};

/// Samples and leases of every GPU over a window. A GPU that has neither is left out.
///
/// # Errors
/// A database error.
pub async fn read(connection: &mut Conn, window: Window) -> Result<Vec<GpuHistory>, Error> {
    let gpus = sqlx::query!(
        "select g.uuid, g.index, g.model, g.total_mib, g.simulated, h.name as host
         from gpus g join hosts h on h.id = g.host_id order by h.name, g.index",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut samples: BTreeMap<String, Vec<GpuSample>> = BTreeMap::new();
    let rows = sqlx::query!(
        // Card by card: the samples are found by card and time.
        "select s.gpu_uuid, s.at, s.used_mib, s.reserved_mib, s.foreign_mib, s.utilization_percent,
             s.temperature_celsius
         from gpus g cross join lateral (
             select * from gpu_samples where gpu_uuid = g.uuid and at >= $1 and at < $2 order by at) s
         order by s.gpu_uuid, s.at",
        window.from,
        window.to,
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        samples.entry(row.gpu_uuid).or_default().push(GpuSample {
            at: row.at,
            used_mib: row.used_mib.unsigned_abs(),
            reserved_mib: row.reserved_mib.unsigned_abs(),
            foreign_mib: row.foreign_mib.unsigned_abs(),
            utilization_percent: row
                .utilization_percent
                .and_then(|percent| u8::try_from(percent).ok())
                .unwrap_or_default(),
            temperature_c: row.temperature_celsius.and_then(|celsius| u32::try_from(celsius).ok()),
        });
    }
    let mut leases: BTreeMap<String, Vec<LeaseSpan>> = BTreeMap::new();
    let rows = sqlx::query!(
        "select l.gpu_uuid, l.reserved_mib, l.created_at, l.released_at, a.run_job_id
         from gpu_leases l join attempts a on a.id = l.attempt_id
         where l.created_at < $2 and (l.released_at is null or l.released_at >= $1) order by l.created_at",
        window.from,
        window.to,
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        leases.entry(row.gpu_uuid).or_default().push(LeaseSpan {
            run_job_id: row.run_job_id.into(),
            from: row.created_at,
            to: row.released_at,
            reserved_mib: row.reserved_mib.unsigned_abs(),
        });
    }
    Ok(gpus
        .into_iter()
        .filter_map(|gpu| {
            let samples = samples.remove(&gpu.uuid).unwrap_or_default();
            let leases = leases.remove(&gpu.uuid).unwrap_or_default();
            (!samples.is_empty() || !leases.is_empty()).then(|| GpuHistory {
                uuid: GpuUuid::new(gpu.uuid),
                index: gpu.index.unsigned_abs(),
                host: gpu.host,
                model: gpu.model,
                total_mib: gpu.total_mib.unsigned_abs(),
                origin: if gpu.simulated { GpuOrigin::Simulated } else { GpuOrigin::Real },
                samples,
                leases,
            })
        })
        .collect())
}
