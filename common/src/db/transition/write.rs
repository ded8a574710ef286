//! Writes what was gathered: one statement per table for the whole batch.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{AttemptId, Fence, RunId, RunJobId},
    lifecycle::{AttemptState, Event, FailureKind, RunJobStatus},
    outcome::JobResult,
};
use serde::Serialize;
use uuid::Uuid;

use super::{PlaceKind, Step};
use crate::{
    db::{Conn, Error, attempts},
    queue::{self, RunTask},
};

/// A row of `run_jobs` as it is to become. `None` keeps what is there.
#[derive(Serialize)]
pub(super) struct RunJobUpdate {
    pub id: RunJobId,
    pub status: RunJobStatus,
    pub attempts: i32,
    pub user_failures: i32,
    pub infra_failures: i32,
    pub not_before: Option<DateTime<Utc>>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub host_id: Option<Uuid>,
    pub selection_reason: Option<String>,
    pub failure: Option<FailureKind>,
    pub failure_detail: Option<String>,
    pub result: Option<JobResult>,
    pub cancel: bool,
    pub at: DateTime<Utc>,
}

/// A row of `attempts` as it is to become. `None` keeps what is there.
#[derive(Serialize)]
pub(super) struct AttemptUpdate {
    pub id: AttemptId,
    pub state: AttemptState,
    pub fence: Fence,
    pub owner: Owner,
    pub launcher_id: Option<Uuid>,
    pub boot_id: Option<String>,
    pub image_id: Option<String>,
    pub container_id: Option<String>,
    pub stop_reason: Option<&'static str>,
    pub exit_code: Option<i32>,
    pub failure: Option<FailureKind>,
    pub failure_detail: Option<String>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub release: bool,
    pub at: DateTime<Utc>,
}

/// What happens to the owner of an attempt.
#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum Owner {
    Keep,
    Set,
    Clear,
}

#[derive(Serialize)]
pub(super) struct AttemptInsert {
    pub id: AttemptId,
    pub run_job_id: RunJobId,
    pub run_id: RunId,
    pub number: i32,
    pub fence: Fence,
    pub host_id: Uuid,
    pub cpu_millis: u32,
    pub memory_mib: u32,
    pub selection_reason: String,
    pub placement: PlaceKind,
    pub deadline_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
pub(super) struct LeaseInsert {
    pub attempt_id: AttemptId,
    pub gpu_uuid: String,
    pub reserved_mib: u32,
}

/// Marks the runs of placed RunJobs as running. First of all statements, because runs come first in lock order.
pub(super) async fn mark_runs_started(connection: &mut Conn, steps: &[Step]) -> Result<(), Error> {
    let placed: Vec<Uuid> = steps
        .iter()
        .filter(|step| matches!(step.event, Event::Offer))
        .map(|step| step.run_job.uuid())
        .collect();
    if placed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update runs set status = 'running', started_at = now()
         where id in (
             select id from runs
             where id in (select run_id from run_jobs where id = any($1)) and status = 'pending'
             order by id for no key update)",
        &placed,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_attempts(connection: &mut Conn, rows: &[AttemptUpdate]) -> Result<(), Error> {
    // Several steps on one attempt in one batch: the last one is what it becomes.
    let last: HashMap<AttemptId, &AttemptUpdate> = rows.iter().map(|row| (row.id, row)).collect();
    if last.is_empty() {
        return Ok(());
    }
    let last: Vec<&AttemptUpdate> = last.into_values().collect();
    sqlx::query!(
        "update attempts a set
             state = c.state, fence = c.fence,
             launcher_id = case c.owner when 'keep' then a.launcher_id when 'set' then c.launcher_id end,
             boot_id = coalesce(c.boot_id, a.boot_id), image_id = coalesce(c.image_id, a.image_id),
             container_id = coalesce(c.container_id, a.container_id),
             stop_reason = coalesce(c.stop_reason, a.stop_reason), exit_code = coalesce(c.exit_code, a.exit_code),
             failure = coalesce(c.failure, a.failure), failure_detail = coalesce(c.failure_detail, a.failure_detail),
             deadline_at = c.deadline_at,
             accepted_at = case when c.state = 'accepted' then coalesce(a.accepted_at, c.at) else a.accepted_at end,
             starting_at = case when c.state = 'starting' then coalesce(a.starting_at, c.at) else a.starting_at end,
             running_at = case when c.state = 'running' then coalesce(a.running_at, c.at) else a.running_at end,
             stopping_at = case when c.state = 'stopping' then coalesce(a.stopping_at, c.at) else a.stopping_at end,
             ended_at = case when c.state in ('done', 'lost') then c.at end,
             released_at = case when c.release then coalesce(a.released_at, c.at) else a.released_at end
         from jsonb_to_recordset($1) as c(id uuid, state text, fence integer, owner text, launcher_id uuid,
             boot_id text, image_id text, container_id text, stop_reason text, exit_code integer, failure text,
             failure_detail text, deadline_at timestamptz, release boolean, at timestamptz)
         where a.id = c.id",
        to_json(&last),
    )
    .execute(&mut *connection)
    .await?;
    let released: Vec<Uuid> = last.iter().filter(|row| row.release).map(|row| row.id.uuid()).collect();
    if !released.is_empty() {
        attempts::release_leases(connection, &released).await?;
    }
    Ok(())
}

pub(super) async fn insert_attempts(
    connection: &mut Conn,
    rows: &[AttemptInsert],
    leases: &[LeaseInsert],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into attempts (id, run_job_id, run_id, number, fence, host_id, engine_id, cpu_millis, memory_mib,
             selection_reason, placement, deadline_at)
         select c.id, c.run_job_id, c.run_id, c.number, c.fence, c.host_id, h.engine_id, c.cpu_millis, c.memory_mib,
             c.selection_reason, c.placement, c.deadline_at
         from jsonb_to_recordset($1) as c(id uuid, run_job_id uuid, run_id uuid, number integer,
             fence integer, host_id uuid, cpu_millis integer, memory_mib integer, selection_reason text, placement text, deadline_at timestamptz)
         join hosts h on h.id = c.host_id order by c.host_id",
        to_json(rows),
    )
    .execute(&mut *connection)
    .await?;
    if !leases.is_empty() {
        sqlx::query!(
            "insert into gpu_leases (attempt_id, gpu_uuid, reserved_mib)
             select attempt_id, gpu_uuid, reserved_mib
             from jsonb_to_recordset($1) as c(attempt_id uuid, gpu_uuid text, reserved_mib integer)
             order by gpu_uuid",
            to_json(leases),
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn update_run_jobs(connection: &mut Conn, rows: &[RunJobUpdate]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update run_jobs j set
             status = c.status, attempts = c.attempts, user_failures = c.user_failures,
             infra_failures = c.infra_failures, not_before = coalesce(c.not_before, j.not_before),
             deadline_at = c.deadline_at, host_id = coalesce(c.host_id, j.host_id),
             selection_reason = coalesce(c.selection_reason, j.selection_reason),
             waiting_reason = case when c.status = 'pending' then j.waiting_reason end,
             -- A retry that succeeds leaves no failure behind.
             failure = case when c.status = 'success' then null else coalesce(c.failure, j.failure) end,
             failure_detail = case when c.status = 'success' then null
                 else coalesce(c.failure_detail, j.failure_detail) end,
             result = coalesce(c.result, j.result),
             cancel_requested_at = case when c.cancel then coalesce(j.cancel_requested_at, c.at)
                 else j.cancel_requested_at end,
             assigned_at = case when c.host_id is not null then c.at else j.assigned_at end,
             started_at = case when c.status = 'running' then coalesce(j.started_at, c.at) else j.started_at end,
             finished_at = case when c.status in ('success', 'failed', 'cancelled') then c.at end
         from jsonb_to_recordset($1) as c(id uuid, status text, attempts integer, user_failures integer,
             infra_failures integer, not_before timestamptz, deadline_at timestamptz, host_id uuid,
             selection_reason text, failure text, failure_detail text, result jsonb, cancel boolean, at timestamptz)
         where j.id = c.id",
        to_json(rows),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Asks for the close of every run that has no open RunJob as this transaction sees it. Two transactions that end
/// the last two at once both see the other's as open; the scheduler's scan finds that run.
pub(super) async fn push_closes(connection: &mut Conn, runs: &[Uuid]) -> Result<(), Error> {
    if runs.is_empty() {
        return Ok(());
    }
    let finished = sqlx::query_scalar!(
        "select id from runs r where id = any($1) and finished_at is null and not exists (
             select 1 from run_jobs j where j.run_id = r.id and j.status in ('pending', 'assigned', 'running'))",
        runs,
    )
    .fetch_all(&mut *connection)
    .await?;
    let tasks: Vec<RunTask> = finished.into_iter().map(|run| RunTask::Close(run.into())).collect();
    Ok(queue::push(connection, &tasks).await?)
}

fn to_json<T: Serialize>(rows: &[T]) -> serde_json::Value {
    serde_json::to_value(rows).expect("rows serialize: all keys are text and all numbers finite")
}
