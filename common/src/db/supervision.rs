//! What an owner reads and writes about its attempts, beside their state changes.

use cyberbrain_core::{
    ids::{AttemptId, Fence, GpuUuid, HostId, LauncherId, RunId, RunJobId, UploadId},
    lifecycle::{AttemptState, StopReason},
    outcome::Progress,
    spec::{DirectiveType, JobSpec},
    staging::{AssignedGpu, DirectiveText},
};
use serde::Serialize;
use uuid::Uuid;

use super::{Col, Conn, Error, audit};

/// Everything that is needed to drive one attempt.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    pub run: RunId,
    /// Number of the attempt, from 1.
    pub number: u32,
    pub fence: Fence,
    /// The state when it was read.
    pub state: AttemptState,
    /// The host's boot when a container was about to be made.
    pub boot_id: Option<String>,
    /// Why it is being stopped, if it is.
    pub stop_reason: Option<StopReason>,
    pub task_key: String,
    pub spec: JobSpec,
    pub params: serde_json::Value,
    pub inputs: Vec<Upload>,
    pub directive: DirectiveText,
    pub gpus: Vec<AssignedGpu>,
    pub cancelled: bool,
}

/// A file that the RunJob asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    pub name: String,
    /// Relative to the uploads root.
    pub path: String,
}

/// Reads attempts with what their workers need. In no particular order.
///
/// # Errors
/// A database error, or [`Error::Malformed`].
pub async fn assignments(connection: &mut Conn, attempts: &[AttemptId]) -> Result<Vec<Assignment>, Error> {
    let ids: Vec<Uuid> = attempts.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select a.id, a.run_job_id, a.run_id, a.number, a.fence, a.state as "state: Col<AttemptState>", a.boot_id,
             a.stop_reason as "stop_reason: Col<StopReason>", j.task_key, j.spec,
             r.params || j.params as "params!", j.inputs, j.cancel_requested_at is not null as "cancelled!",
             r.directive_type as "kind: Col<DirectiveType>", r.directive_name,
             coalesce(r.directive_snapshot ->> 'text', '') as "text!"
           from attempts a join run_jobs j on j.id = a.run_job_id join runs r on r.id = a.run_id
           where a.id = any($1)"#,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let gpus = assigned_gpus(connection, &ids).await?;
    let asked: Vec<Uuid> = rows.iter().flat_map(|row| row.inputs.iter().copied()).collect();
    let uploads = uploads(connection, &asked).await?;
    rows.into_iter()
        .map(|row| {
            let spec = serde_json::from_value(row.spec)
                .map_err(|source| Error::Malformed { what: "job specification", source })?;
            let of_attempt = gpus.iter().filter(|(attempt, _)| *attempt == row.id);
            Ok(Assignment {
                attempt: row.id.into(),
                run_job: row.run_job_id.into(),
                run: row.run_id.into(),
                number: row.number.unsigned_abs(),
                fence: Fence(row.fence),
                state: row.state.0,
                boot_id: row.boot_id,
                stop_reason: row.stop_reason.map(|reason| reason.0),
                task_key: row.task_key,
                spec,
                params: row.params,
                inputs: uploads.iter().filter(|file| row.inputs.contains(&file.id.uuid())).cloned().collect(),
                directive: DirectiveText { kind: row.kind.0, name: row.directive_name, text: row.text },
                gpus: of_attempt.map(|(_, gpu)| gpu.clone()).collect(),
                cancelled: row.cancelled,
            })
        })
        .collect()
}

async fn assigned_gpus(connection: &mut Conn, attempts: &[Uuid]) -> Result<Vec<(Uuid, AssignedGpu)>, Error> {
    let rows = sqlx::query!(
        "select l.attempt_id, l.gpu_uuid, l.reserved_mib, g.index, g.model, g.total_mib
         from gpu_leases l join gpus g on g.uuid = l.gpu_uuid where l.attempt_id = any($1) order by g.index",
        attempts,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let gpu = AssignedGpu {
                uuid: GpuUuid::new(row.gpu_uuid),
                index: row.index.unsigned_abs(),
                model: row.model,
                total_mib: row.total_mib.unsigned_abs(),
                reserved_mib: row.reserved_mib.unsigned_abs(),
            };
            (row.attempt_id, gpu)
        })
        .collect())
}

async fn uploads(connection: &mut Conn, ids: &[Uuid]) -> Result<Vec<Upload>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!("select id, name, path from uploads where id = any($1)", ids)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| Upload { id: row.id.into(), name: row.name, path: row.path }).collect())
}

/// Whether a write found its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    /// It was written.
    Held,
    /// Somebody else owns the attempt by now, or it has ended; nothing was written.
    Gone,
}

/// Notes the container that was made, with its audit row (`spawn`). The last look at the fence before the start.
///
/// # Errors
/// A database error.
pub async fn spawned(
    connection: &mut Conn,
    attempt: AttemptId,
    fence: Fence,
    launcher: LauncherId,
    container_id: &str,
    entry: audit::Entry,
) -> Result<Fenced, Error> {
    let written = sqlx::query!(
        "update attempts set container_id = $4
         where id = $1 and fence = $2 and launcher_id = $3 and state in ('starting', 'running', 'stopping')",
        attempt.uuid(),
        fence.0,
        launcher.uuid(),
        container_id,
    )
    .execute(&mut *connection)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(Fenced::Gone);
    }
    audit::write(connection, entry).await?;
    Ok(Fenced::Held)
}

/// Whether this launcher still owns the attempt under this fence.
///
/// # Errors
/// A database error.
pub async fn check_fence(
    connection: &mut Conn,
    attempt: AttemptId,
    fence: Fence,
    launcher: LauncherId,
) -> Result<Fenced, Error> {
    let held = sqlx::query_scalar!(
        r#"select exists (select 1 from attempts where id = $1 and fence = $2 and launcher_id = $3
             and state not in ('done', 'lost')) as "held!""#,
        attempt.uuid(),
        fence.0,
        launcher.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(if held { Fenced::Held } else { Fenced::Gone })
}

/// The newest progress of one running attempt.
#[derive(Debug, Clone, Serialize)]
pub struct ProgressUpdate {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub progress: Progress,
}

/// Stores progress of many attempts with one statement; of those whose fence is gone, nothing.
///
/// # Errors
/// A database error.
pub async fn record_progress(connection: &mut Conn, updates: &[ProgressUpdate]) -> Result<(), Error> {
    let rows = serde_json::to_value(updates).expect("progress serializes: all numbers are finite");
    sqlx::query!(
        "update run_jobs j set progress = c.progress
         from jsonb_to_recordset($1) as c(attempt uuid, fence integer, progress jsonb)
         join attempts a on a.id = c.attempt and a.fence = c.fence and a.state in ('starting', 'running', 'stopping')
         where j.id = a.run_job_id and j.status in ('assigned', 'running')",
        rows,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt as reconciliation sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    pub run: RunId,
    pub state: AttemptState,
    pub fence: Fence,
    pub launcher: Option<LauncherId>,
    /// Whether its place was given back.
    pub released: bool,
}

/// The attempts of a host that are open or still hold their place, and whatever else is known of `listed`.
///
/// # Errors
/// A database error.
pub async fn attempts_of_host(
    connection: &mut Conn,
    host: HostId,
    listed: &[AttemptId],
) -> Result<Vec<AttemptRow>, Error> {
    let ids: Vec<Uuid> = listed.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select id, run_job_id, run_id, state as "state: Col<AttemptState>", fence, launcher_id,
             released_at is not null as "released!"
           from attempts where (host_id = $1 and released_at is null and state <> 'offered') or id = any($2)"#,
        host.uuid(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AttemptRow {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            run: row.run_id.into(),
            state: row.state.0,
            fence: Fence(row.fence),
            launcher: row.launcher_id.map(Into::into),
            released: row.released,
        })
        .collect())
}
