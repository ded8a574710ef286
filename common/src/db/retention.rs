//! Forgetting what has been kept long enough, and making room for what comes.
//!
//! Every delete is bounded; the next pass takes up what is left.

use super::{Conn, Error};

/// Deletes GPU samples and critical errors older than a day; at most `limit` of each. Returns how many samples.
///
/// # Errors
/// A database error.
pub async fn prune_samples(connection: &mut Conn, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from gpu_samples s using (
             select o.gpu_uuid, o.at from gpus g cross join lateral (
                 select gpu_uuid, at from gpu_samples
                 where gpu_uuid = g.uuid and at < now() - interval '24 hours' order by at limit $1) o
             limit $1) old
         where s.gpu_uuid = old.gpu_uuid and s.at = old.at",
        i64::from(limit),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from gpu_xid_events where id in (
             select o.id from gpus g cross join lateral (
                 select id from gpu_xid_events
                 where gpu_uuid = g.uuid and at < now() - interval '24 hours' order by at limit $1) o
             limit $1)",
        i64::from(limit),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes snapshots of the container inventory older than a week, except the newest of each container; at most
/// `limit`. Returns how many.
///
/// # Errors
/// A database error.
pub async fn prune_inventory(connection: &mut Conn, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from container_inventory where id in (
             select i.id from container_inventory i
             where i.taken_at < now() - interval '7 days' and exists (
                 select 1 from container_inventory n
                 where n.container_id = i.container_id and n.host_id = i.host_id
                     and (n.taken_at, n.id) > (i.taken_at, i.id))
             order by i.taken_at limit $1)",
        i64::from(limit),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Makes the partitions of the audit trail for this month and the next ones. Returns how many were missing.
///
/// # Errors
/// A database error.
pub async fn ensure_audit_partitions(connection: &mut Conn, months: u32) -> Result<u32, Error> {
    let made = sqlx::query_scalar!(
        r#"select ensure_audit_partitions($1) as "made!""#,
        i32::try_from(months).unwrap_or(i32::MAX)
    )
    .fetch_one(connection)
    .await?;
    Ok(made.unsigned_abs())
}

/// Audit rows that found no partition of their month. There should be none.
///
/// # Errors
/// A database error.
pub async fn strayed_audit_rows(connection: &mut Conn) -> Result<u64, Error> {
    let rows = sqlx::query_scalar!(r#"select count(*) as "rows!" from worker_audit_default"#)
        .fetch_one(connection)
        .await?;
    Ok(rows.unsigned_abs())
}
