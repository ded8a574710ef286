//! Locks the RunJobs of a batch and reads what the lifecycle needs to know of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{AttemptId, Fence, RunId, RunJobId},
    lifecycle::{AttemptState, AttemptView, CancelState, RunJobStatus, RunJobView, Snapshot, Spent},
    spec::JobSpec,
};
use uuid::Uuid;

use super::Step;
use crate::db::{Col, Conn, Error};

/// A RunJob as it is locked, with its newest attempt.
pub(super) struct Row {
    pub run: RunId,
    pub spec: JobSpec,
    pub snapshot: Snapshot,
    pub attempt: Option<AttemptId>,
    pub host: Option<String>,
    pub container: Option<String>,
    pub waiting_since: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Locks in id order, so that two batches never wait for each other in a circle.
pub(super) async fn lock(connection: &mut Conn, steps: &[Step]) -> Result<HashMap<RunJobId, Row>, Error> {
    let ids: Vec<Uuid> = steps.iter().map(|step| step.run_job.uuid()).collect();
    let jobs = sqlx::query!(
        r#"select id, run_id, status as "status: Col<RunJobStatus>", spec, attempts, user_failures, infra_failures,
             cancel_requested_at is not null as "cancel!", not_before, created_at, started_at,
             clock_timestamp() as "now!"
           from run_jobs where id = any($1) order by id for no key update"#,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    // An attempt changes only under the lock of its RunJob, so this second look is consistent with the first.
    let attempts = sqlx::query!(
        r#"select distinct on (a.run_job_id) a.run_job_id, a.id, a.number, a.state as "state: Col<AttemptState>",
             a.fence, a.container_id, h.name as host
           from attempts a join hosts h on h.id = a.host_id
           where a.run_job_id = any($1) order by a.run_job_id, a.number desc"#,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut newest: HashMap<Uuid, _> = attempts.into_iter().map(|row| (row.run_job_id, row)).collect();
    jobs.into_iter()
        .map(|job| {
            let spec: JobSpec = serde_json::from_value(job.spec)
                .map_err(|source| Error::Malformed { what: "job specification", source })?;
            let attempt = newest.remove(&job.id);
            let cancel = if job.cancel { CancelState::Requested } else { CancelState::NotRequested };
            let row = Row {
                run: job.run_id.into(),
                snapshot: Snapshot {
                    run_job: RunJobView {
                        status: job.status.0,
                        attempts: job.attempts.unsigned_abs(),
                        spent: Spent {
                            user: job.user_failures.unsigned_abs(),
                            infrastructure: job.infra_failures.unsigned_abs(),
                        },
                        retry: spec.retry,
                        cancel,
                    },
                    attempt: attempt.as_ref().map(|row| AttemptView {
                        number: row.number.unsigned_abs(),
                        state: row.state.0,
                        fence: Fence(row.fence),
                    }),
                },
                spec,
                attempt: attempt.as_ref().map(|row| row.id.into()),
                host: attempt.as_ref().map(|row| row.host.clone()),
                container: attempt.and_then(|row| row.container_id),
                waiting_since: job.not_before.max(job.created_at),
                started_at: job.started_at,
                now: job.now,
            };
            Ok((RunJobId::from(job.id), row))
        })
        .collect()
}
