//! Reads the audit trail. Writing is in `audit`.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::Operation,
    ids::{AttemptId, RunJobId},
};
use serde_json::Value;

use super::{Col, Conn, Error};

/// One recorded step.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub id: uuid::Uuid,
    pub at: DateTime<Utc>,
    pub operation: Operation,
    pub actor: String,
    pub attempt: Option<AttemptId>,
    pub host: Option<String>,
    pub container_id: Option<String>,
    pub image: Option<String>,
    pub gpus: Vec<String>,
    pub selection_reason: Option<String>,
    /// Names, limits and counts only.
    pub config_snapshot: Value,
    pub success: bool,
    pub error: Option<String>,
}

/// The newest `limit` records of a RunJob, oldest of them first.
///
/// # Errors
/// When the database can't be read.
pub async fn of_run_job(connection: &mut Conn, run_job: RunJobId, limit: i64) -> Result<Vec<Record>, Error> {
    let rows = sqlx::query!(
        r#"select id, at, operation as "operation: Col<Operation>", actor, attempt_id, host, container_id, image, gpus,
             selection_reason, config_snapshot, success, error
           from worker_audit where run_job_id = $1 order by at desc, id desc limit $2"#,
        run_job.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let records = rows.into_iter().rev().map(|row| Record {
        id: row.id,
        at: row.at,
        operation: row.operation.0,
        actor: row.actor,
        attempt: row.attempt_id.map(Into::into),
        host: row.host,
        container_id: row.container_id,
        image: row.image,
        gpus: row.gpus,
        selection_reason: row.selection_reason,
        config_snapshot: row.config_snapshot,
        success: row.success,
        error: row.error,
    });
    Ok(records.collect())
}
