//! How much waits in each queue, for metrics and for people.

use sqlx::{PgExecutor, Row};
use ulid::Ulid;

use super::{Error, Queue};

/// What waits in one queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueStats {
    /// Which queue.
    pub queue: Queue,
    /// Tasks that no consumer has taken yet.
    pub depth: u64,
    /// How long the oldest of them has waited. Read from its id, so as exact as the clock of the process that
    /// pushed it; never negative.
    pub oldest_seconds: f64,
}

/// The queues in which something waits; an empty queue has no entry.
///
/// # Errors
/// [`Error::Stats`].
pub async fn stats(executor: impl PgExecutor<'_>) -> Result<Vec<QueueStats>, Error> {
    let rows = sqlx::query(
        "select job_type, count(*) as depth, min(id) as oldest,
                (extract(epoch from now()) * 1000)::bigint as now_ms
         from apalis.jobs
         where status = 'Pending'
         group by job_type
         order by job_type",
    )
    .fetch_all(executor)
    .await
    .map_err(Error::Stats)?;

    let mut queues = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("job_type").map_err(Error::Stats)?;
        // Another program's queues may share the schema.
        let Ok(queue) = name.parse() else { continue };
        let depth: i64 = row.try_get("depth").map_err(Error::Stats)?;
        let oldest: String = row.try_get("oldest").map_err(Error::Stats)?;
        let now_ms: i64 = row.try_get("now_ms").map_err(Error::Stats)?;
        let now_ms = now_ms.unsigned_abs();
        let pushed_ms = Ulid::from_string(&oldest).map_or(now_ms, |id| id.timestamp_ms());
        queues.push(QueueStats {
            queue,
            depth: depth.unsigned_abs(),
            oldest_seconds: now_ms.saturating_sub(pushed_ms) as f64 / 1_000.0,
        });
    }
    Ok(queues)
}
