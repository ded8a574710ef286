//! Reads the audit trail. Writing is in `audit`.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::Operation,
    ids::{AttemptId, RunJobId},
};
use serde_json::Value;
use uuid::Uuid;

use super::{Col, Conn, Error};

/// One recorded step.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub id: Uuid,
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

/// A row of the trail, as all who read it select it: with its place, and what it is about.
pub(super) struct Row {
    pub(super) tx: i64,
    pub(super) id: Uuid,
    pub(super) at: DateTime<Utc>,
    pub(super) operation: Col<Operation>,
    pub(super) actor: String,
    pub(super) run_id: Option<Uuid>,
    pub(super) run_job_id: Option<Uuid>,
    pub(super) attempt_id: Option<Uuid>,
    pub(super) host: Option<String>,
    pub(super) container_id: Option<String>,
    pub(super) image: Option<String>,
    pub(super) gpus: Vec<String>,
    pub(super) selection_reason: Option<String>,
    pub(super) config_snapshot: Value,
    pub(super) success: bool,
    pub(super) error: Option<String>,
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        Self {
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
        }
    }
}

/// The newest `limit` records of a RunJob, oldest of them first.
///
/// # Errors
/// When the database can't be read.
pub async fn of_run_job(connection: &mut Conn, run_job: RunJobId, limit: i64) -> Result<Vec<Record>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select tx, id, at, operation as "operation: Col<Operation>", actor, run_id, run_job_id, attempt_id, host,
             container_id, image, gpus, selection_reason, config_snapshot, success, error
           from worker_audit where run_job_id = $1 order by at desc, id desc limit $2"#,
        run_job.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().rev().map(Into::into).collect())
}
