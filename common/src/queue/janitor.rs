//! Upkeep that apalis leaves to its users: forgetting finished tasks and dead workers, freeing stuck tasks.
//!
//! One pass, for the leader to call every half minute or so; two at once are harmless. Ages are the
//! database's: no clock of ours takes part.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::{Error, Queue};

/// A claimed task is freed after this time: handlers take milliseconds and are idempotent.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// A worker that has not been seen for this time never will be: names are not used twice.
const WORKER_GONE_AFTER: Duration = Duration::from_secs(300);
/// The most rows that one DELETE takes, and how many DELETEs one pass makes.
const ROWS_PER_DELETE: i64 = 10_000;
const DELETES_PER_PASS: u32 = 20;
/// The longest that one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long finished tasks stay visible in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Tasks that their handler finished.
    pub done: Duration,
    /// Tasks that failed or were set aside: someone may want to look at them.
    pub failed: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { done: Duration::from_secs(3_600), failed: Duration::from_secs(7 * 86_400) }
    }
}

/// What one pass of the janitor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Claimed tasks whose claim was older than a minute, and that wait again.
    pub freed: u64,
    /// Finished tasks deleted.
    pub deleted: u64,
    /// Rows of dead workers deleted.
    pub workers: u64,
}

/// One pass. What it can't finish in one, the next takes up.
///
/// # Errors
/// [`Error::Upkeep`] names the step; the steps before it are done. Safe to drop at any point.
pub async fn janitor(pool: &PgPool, retention: Retention) -> Result<Swept, Error> {
    let freed = step("freeing stuck tasks", free_stuck(pool)).await?;
    let mut deleted = 0;
    for _ in 0..DELETES_PER_PASS {
        let batch = step("deleting finished tasks", delete_finished(pool, retention)).await?;
        deleted += batch;
        if batch < ROWS_PER_DELETE.unsigned_abs() {
            break;
        }
    }
    let workers = step("deleting dead workers", delete_dead_workers(pool)).await?;
    Ok(Swept { freed, deleted, workers })
}

/// Marks the waiting tasks of these queues as done, and says how many it were. For a process that finds what they speak
/// of by itself, because it serves more queues than it can have consumers for.
///
/// # Errors
/// [`Error::Upkeep`].
pub async fn dismiss(pool: &PgPool, queues: &[Queue]) -> Result<u64, Error> {
    let names: Vec<String> = queues.iter().map(ToString::to_string).collect();
    step("dismissing tasks", async {
        sqlx::query("update apalis.jobs set status = 'Done', done_at = now() where job_type = any($1) and status = 'Pending'")
            .bind(names)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
    })
    .await
}

/// Frees what `worker` had claimed. For a worker that is gone.
pub(super) async fn release_claims(connection: &mut PgConnection, worker: &str) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
         where lock_by = $1 and status in ('Queued', 'Running')",
    )
    .bind(worker)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Sets aside rows that apalis can't even read as a row: each of them ends every worker of its queue at every
/// claim. None is ours; they come from a hand-written INSERT.
pub(super) async fn set_aside_unreadable(
    connection: &mut PgConnection,
    queue: Queue,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "update apalis.jobs
         set status = 'Killed', done_at = now(), last_result = '{\"Err\": \"set aside: the row is unreadable\"}'
         where job_type = $1
           and status in ('Pending', 'Queued', 'Running', 'Failed')
           and (job is null
                or id !~* '^[0-7][0-9a-hjkmnp-tv-z]{25}$'
                or run_at < to_timestamp(0)
                or array_position(avals(metadata), null) is not null)",
    )
    .bind(queue.to_string())
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

async fn free_stuck(pool: &PgPool) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
         where status in ('Queued', 'Running')
           and (lock_at is null or lock_at < now() - make_interval(secs => $1))",
    )
    .bind(STUCK_AFTER.as_secs_f64())
    .execute(pool)
    .await
    .map(|done| done.rows_affected())
}

async fn delete_finished(pool: &PgPool, retention: Retention) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "delete from apalis.jobs where id in (
             select id from apalis.jobs
             where (status = 'Done' and coalesce(done_at, lock_at, run_at) < now() - make_interval(secs => $1))
                or ((status = 'Killed' or (status = 'Failed' and attempts >= max_attempts))
                    and coalesce(done_at, lock_at, run_at) < now() - make_interval(secs => $2))
             limit $3)",
    )
    .bind(retention.done.as_secs_f64())
    .bind(retention.failed.as_secs_f64())
    .bind(ROWS_PER_DELETE)
    .execute(pool)
    .await
    .map(|done| done.rows_affected())
}

async fn delete_dead_workers(pool: &PgPool) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "delete from apalis.workers w
         where w.last_seen < now() - make_interval(secs => $1)
           and not exists (select from apalis.jobs j where j.lock_by = w.id)",
    )
    .bind(WORKER_GONE_AFTER.as_secs_f64())
    .execute(pool)
    .await
    .map(|done| done.rows_affected())
}

async fn step(
    name: &'static str,
    work: impl Future<Output = Result<u64, sqlx::Error>>,
) -> Result<u64, Error> {
    match tokio::time::timeout(STEP_TIMEOUT, work).await {
        Ok(done) => done.map_err(|source| Error::Upkeep { step: name, source }),
        Err(_) => {
            let source = sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
            Err(Error::Upkeep { step: name, source })
        }
    }
}
