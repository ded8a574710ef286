//! Writes the audit trail, in the transaction of what it records.

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{AttemptId, RunId, RunJobId},
};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Conn, Error, sentence};
use crate::{ids::fresh, metric};

/// One row to be. Start with [`Entry::new`] and add what is known.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    id: Uuid,
    operation: Operation,
    actor: String,
    run_id: Option<RunId>,
    run_job_id: Option<RunJobId>,
    attempt_id: Option<AttemptId>,
    host: Option<String>,
    container_id: Option<String>,
    image: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    config_snapshot: serde_json::Value,
    success: bool,
    error: Option<String>,
}

impl Entry {
    #[must_use]
    pub fn new(operation: Operation, actor: &Actor) -> Self {
        Self {
            id: fresh(),
            operation,
            actor: actor.to_string(),
            run_id: None,
            run_job_id: None,
            attempt_id: None,
            host: None,
            container_id: None,
            image: None,
            gpus: Vec::new(),
            selection_reason: None,
            config_snapshot: serde_json::Value::Object(serde_json::Map::new()),
            success: true,
            error: None,
        }
    }

    #[must_use]
    pub fn run(mut self, id: RunId) -> Self {
        self.run_id = Some(id);
        self
    }

    #[must_use]
    pub fn run_job(mut self, id: RunJobId) -> Self {
        self.run_job_id = Some(id);
        self
    }

    #[must_use]
    pub fn attempt(mut self, id: AttemptId) -> Self {
        self.attempt_id = Some(id);
        self
    }

    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    #[must_use]
    pub fn container(mut self, id: impl Into<String>) -> Self {
        self.container_id = Some(id.into());
        self
    }

    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    #[must_use]
    pub fn gpus(mut self, gpus: Vec<String>) -> Self {
        self.gpus = gpus;
        self
    }

    #[must_use]
    pub fn reason(mut self, reason: impl AsRef<str>) -> Self {
        self.selection_reason = Some(sentence::reason(reason.as_ref()));
        self
    }

    /// Names, limits and counts of the configuration in force. Never values of environment variables or params.
    #[must_use]
    pub fn config(mut self, snapshot: serde_json::Value) -> Self {
        self.config_snapshot = snapshot;
        self
    }

    /// Marks the step as failed, with one sentence of ours.
    #[must_use]
    pub fn failed(mut self, error: impl AsRef<str>) -> Self {
        self.success = false;
        self.error = Some(sentence::detail(error.as_ref()));
        self
    }
}

/// Writes one row.
///
/// # Errors
/// When the database refuses; the caller's transaction must not be committed then.
pub async fn write(connection: &mut Conn, entry: Entry) -> Result<(), Error> {
    write_all(connection, &[entry]).await
}

/// Writes many rows with one statement.
///
/// # Errors
/// When the database refuses; the caller's transaction must not be committed then.
pub async fn write_all(connection: &mut Conn, entries: &[Entry]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let written = sqlx::query!(
        "insert into worker_audit (id, operation, actor, run_id, run_job_id, attempt_id, host, container_id, image,
             gpus, selection_reason, config_snapshot, success, error)
         select id, operation, actor, run_id, run_job_id, attempt_id, host, container_id, image,
             gpus, selection_reason, config_snapshot, success, error
         from jsonb_to_recordset($1) as e(id uuid, operation text, actor text, run_id uuid, run_job_id uuid,
             attempt_id uuid, host text, container_id text, image text, gpus text[], selection_reason text,
             config_snapshot jsonb, success boolean, error text)",
        Json(entries) as _,
    )
    .execute(connection)
    .await;
    match written {
        Ok(_) => {
            for entry in entries {
                metrics::counter!(metric::AUDIT_ROWS, "stage" => entry.operation.as_str()).increment(1);
            }
            Ok(())
        }
        Err(error) => {
            metrics::counter!(metric::AUDIT_WRITE_FAILURES).increment(1);
            Err(error.into())
        }
    }
}
