//! What was observed of GPUs, and who held them, over a window: what `gpu_report` is given.
//!
//! Samples are thinned while they are read: however long the window is and however many GPUs there are, no more than what is
//! handed over is held.

use std::collections::BTreeMap;

use cyberbrain_core::{
    ids::GpuUuid,
    staging::{
        GpuHistory, GpuOrigin, GpuSample, LeaseSpan, Thinner, ThrottleReasons, Window, XidEvent,
        samples_per_gpu,
    },
};
use futures::TryStreamExt as _;

use super::{Conn, Error};

/// Critical errors that are read per GPU; there are no more in the table.
const MAX_XIDS: i64 = 1_000;

/// Samples, errors and leases of every GPU over a window. A GPU that has none of them is left out; where there are too many
/// samples to hand over, they are thinned, and each GPU says how many are left out.
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
    let mut samples = samples(connection, window).await?;
    let mut xids: BTreeMap<String, Vec<XidEvent>> = BTreeMap::new();
    let rows = sqlx::query!(
        "select x.gpu_uuid, x.at, x.xid
         from gpus g cross join lateral (
             select * from gpu_xid_events where gpu_uuid = g.uuid and at >= $1 and at < $2
             order by at desc limit $3) x
         order by x.gpu_uuid, x.at, x.id",
        window.from,
        window.to,
        MAX_XIDS,
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        xids.entry(row.gpu_uuid).or_default().push(XidEvent { at: row.at, xid: row.xid.unsigned_abs() });
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
            let (samples, samples_left_out) = samples.remove(&gpu.uuid).unwrap_or_default();
            let xids = xids.remove(&gpu.uuid).unwrap_or_default();
            let leases = leases.remove(&gpu.uuid).unwrap_or_default();
            (!samples.is_empty() || !xids.is_empty() || !leases.is_empty()).then(|| GpuHistory {
                uuid: GpuUuid::new(gpu.uuid),
                index: gpu.index.unsigned_abs(),
                host: gpu.host,
                model: gpu.model,
                total_mib: gpu.total_mib.unsigned_abs(),
                origin: if gpu.simulated { GpuOrigin::Simulated } else { GpuOrigin::Real },
                samples,
                samples_left_out,
                xids,
                leases,
            })
        })
        .collect())
}

/// Samples by GPU, thinned, and how many of each are left out.
async fn samples(
    connection: &mut Conn,
    window: Window,
) -> Result<BTreeMap<String, (Vec<GpuSample>, u64)>, Error> {
    let counts = sqlx::query!(
        // Card by card: the samples are found by card and time.
        r#"select g.uuid, s.samples as "samples!"
           from gpus g cross join lateral (
               select count(*) as samples from gpu_samples where gpu_uuid = g.uuid and at >= $1 and at < $2) s
           where s.samples > 0"#,
        window.from,
        window.to,
    )
    .fetch_all(&mut *connection)
    .await?;
    let limit = samples_per_gpu(counts.len());
    let mut thinned = BTreeMap::new();
    for card in counts {
        let mut thinner = Thinner::new(usize::try_from(card.samples).unwrap_or(usize::MAX), limit);
        let mut rows = sqlx::query!(
            "select at, used_mib, reserved_mib, foreign_mib, utilization_percent, temperature_celsius, throttle_reasons,
                 ecc_corrected, ecc_uncorrected
             from gpu_samples where gpu_uuid = $1 and at >= $2 and at < $3 order by at",
            card.uuid,
            window.from,
            window.to,
        )
        .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            thinner.push(GpuSample {
                at: row.at,
                used_mib: row.used_mib.unsigned_abs(),
                reserved_mib: row.reserved_mib.unsigned_abs(),
                foreign_mib: row.foreign_mib.unsigned_abs(),
                utilization_percent: row.utilization_percent.and_then(|percent| u8::try_from(percent).ok()),
                temperature_c: row.temperature_celsius.and_then(|celsius| u32::try_from(celsius).ok()),
                throttle: row
                    .throttle_reasons
                    .map(|bits| ThrottleReasons::from_bits(u64::from(bits.unsigned_abs()))),
                ecc_corrected: row.ecc_corrected.map(i64::unsigned_abs),
                ecc_uncorrected: row.ecc_uncorrected.map(i64::unsigned_abs),
            });
        }
        drop(rows);
        thinned.insert(card.uuid, thinner.finish());
    }
    Ok(thinned)
}
