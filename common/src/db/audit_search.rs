//! Searches the whole audit trail. One RunJob's is in `audit_trail`.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::Operation,
    ids::{AttemptId, RunId, RunJobId},
};

use super::{
    Col, Conn, Error,
    audit_trail::{Record, Row},
    runs::After,
};

/// Which records. What is not set does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub run: Option<RunId>,
    pub run_job: Option<RunJobId>,
    pub attempt: Option<AttemptId>,
    pub operation: Option<Operation>,
    /// As it is written, e.g. `key:boss` or `system:scheduler`.
    pub actor: Option<String>,
    pub host: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// A record with what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub run: Option<RunId>,
    pub run_job: Option<RunJobId>,
    pub record: Record,
}

/// Up to `limit` records, newest first.
///
/// # Errors
/// When the database can't be read.
pub async fn search(
    connection: &mut Conn,
    filter: &AuditFilter,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Found>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select tx, id, at, operation as "operation: Col<Operation>", actor, run_id, run_job_id, attempt_id, host,
             container_id, image, gpus, selection_reason, config_snapshot, success, error
           from worker_audit
           where ($1::uuid is null or run_id = $1) and ($2::uuid is null or run_job_id = $2)
             and ($3::uuid is null or attempt_id = $3) and ($4::text is null or operation = $4)
             and ($5::text is null or actor = $5) and ($6::text is null or host = $6)
             and ($7::timestamptz is null or at >= $7) and ($8::timestamptz is null or at < $8)
             and ($9::timestamptz is null or (at, id) < ($9, $10))
           order by at desc, id desc limit $11"#,
        filter.run.map(RunId::uuid),
        filter.run_job.map(RunJobId::uuid),
        filter.attempt.map(AttemptId::uuid),
        filter.operation.map(Operation::as_str),
        filter.actor,
        filter.host,
        filter.from,
        filter.to,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let found = rows.into_iter().map(|row| Found {
        run: row.run_id.map(Into::into),
        run_job: row.run_job_id.map(Into::into),
        record: row.into(),
    });
    Ok(found.collect())
}
