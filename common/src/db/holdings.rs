//! What running work holds, and how long such work takes.
//!
//! Deliberately absent: when it will end, which is a guess (`core::placement::free_in_ms`).

use std::collections::BTreeMap;

use cyberbrain_core::{ids::GpuUuid, placement::Holding};
use uuid::Uuid;

use super::{Conn, Error};

/// Successes that a typical run time is made of.
const TYPICAL_OF: i64 = 20;

/// Median run time of the last successes of a job, in seconds.
///
/// # Errors
/// A database error.
pub async fn typical_run_seconds(connection: &mut Conn, task_key: &str) -> Result<Option<f64>, Error> {
    Ok(sqlx::query_scalar!(
        "select percentile_cont(0.5) within group (
             order by extract(epoch from finished_at - started_at)::double precision)
         from (select started_at, finished_at from run_jobs
             where task_key = $1 and status = 'success' and started_at is not null
             order by started_at desc limit $2) done",
        task_key,
        TYPICAL_OF,
    )
    .fetch_one(connection)
    .await?)
}

/// Every attempt that has not given back its place.
///
/// # Errors
/// A database error.
pub async fn open(connection: &mut Conn) -> Result<Vec<Holding>, Error> {
    let mut cards: BTreeMap<Uuid, Vec<(GpuUuid, u32)>> = BTreeMap::new();
    let leases =
        sqlx::query!("select attempt_id, gpu_uuid, reserved_mib from gpu_leases where released_at is null")
            .fetch_all(&mut *connection)
            .await?;
    for lease in leases {
        let share = (GpuUuid::new(lease.gpu_uuid), lease.reserved_mib.unsigned_abs());
        cards.entry(lease.attempt_id).or_default().push(share);
    }
    let rows = sqlx::query!(
        r#"select a.id, h.name as host, a.cpu_millis, a.memory_mib, j.task_key,
             (extract(epoch from now() - coalesce(a.running_at, now())) * 1000)::bigint as "ran_ms!"
           from attempts a join hosts h on h.id = a.host_id join run_jobs j on j.id = a.run_job_id
           where a.released_at is null"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut typical: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for row in &rows {
        if !typical.contains_key(&row.task_key) {
            let seconds = typical_run_seconds(connection, &row.task_key).await?;
            typical.insert(row.task_key.clone(), seconds);
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| Holding {
            host: row.host,
            cpu_millis: row.cpu_millis.unsigned_abs(),
            memory_mib: row.memory_mib.unsigned_abs(),
            cards: cards.remove(&row.id).unwrap_or_default(),
            remaining_ms: typical[&row.task_key]
                .map(|seconds| ((seconds * 1_000.0) as u64).saturating_sub(row.ran_ms.max(0).unsigned_abs())),
        })
        .collect())
}
