//! Admission of Runs: which may start, which are held and why, and the RunJobs that their jobs fan out to.
//!
//! Lock order here: the directive's first version → the run → its run_jobs. The caller decides under these locks and
//! commits. Deliberately absent: the decision.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{DirectiveId, RunId, RunJobId},
    run::DirectiveSnapshot,
    spec::JobSpec,
    text_enum,
};
use serde::{Serialize, de::IgnoredAny};

use super::{Col, Conn, Error};

text_enum! {
    /// Why a Run is not admitted.
    Hold("hold of a run") {
        AwaitingApproval = "awaiting_approval",
        MaxConcurrentRuns = "max_concurrent_runs",
    }
}

text_enum! {
    /// What a person decided about a Run.
    Approval("approval") {
        Approved = "approved",
        Denied = "denied",
    }
}

/// What somebody decided about a Run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub approval: Approval,
    /// As the audit trail names them.
    pub by: String,
}

/// How a Run stands towards a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// It waits for one.
    Open,
    Decided(Decision),
    /// Its directive asks for none.
    NotAsked,
    /// It has ended or is being cancelled.
    TooLate,
}

/// Locks a Run and tells how it stands towards a decision; `None`: there is no such Run.
///
/// # Errors
/// A database error.
pub async fn lock_for_decision(connection: &mut Conn, run: RunId) -> Result<Option<Undecided>, Error> {
    let row = sqlx::query!(
        r#"select cancel_requested_at is not null or finished_at is not null as "late!",
             coalesce((directive_snapshot ->> 'approval_required')::boolean, false) as "asked!"
           from runs where id = $1 for no key update"#,
        run.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // After the lock: who held it before may have decided.
    let decided = sqlx::query!(
        r#"select decision as "decision: Col<Approval>", decided_by from run_approvals where run_id = $1"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(Some(match decided {
        Some(row) => Undecided::Decided(Decision { approval: row.decision.0, by: row.decided_by }),
        None if !row.asked => Undecided::NotAsked,
        None if row.late => Undecided::TooLate,
        None => Undecided::Open,
    }))
}

/// Stores what was decided about a locked Run.
///
/// # Errors
/// A database error.
pub async fn decide(
    connection: &mut Conn,
    run: RunId,
    approval: Approval,
    by: &str,
    reason: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into run_approvals (run_id, decision, decided_by, reason) values ($1, $2, $3, $4)",
        run.uuid(),
        approval.as_str(),
        by,
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A Run that is not admitted yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Unadmitted {
    pub run: RunId,
    pub created_at: DateTime<Utc>,
    pub directive: DirectiveSnapshot<IgnoredAny>,
    /// Absent while nobody decided.
    pub approval: Option<Approval>,
}

/// Position in the order in which Runs are looked at: oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub created_at: DateTime<Utc>,
    pub run: RunId,
}

/// A page of Runs that may be admissible. Of those that wait for others of their directive only the oldest.
///
/// # Errors
/// A database error.
pub async fn candidates(
    connection: &mut Conn,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<After>, Error> {
    let rows = sqlx::query!(
        r#"select id as "id!", created_at as "created_at!" from (
             select r.id, r.created_at, r.hold,
                 row_number() over (partition by r.hold, r.directive_id order by r.created_at, r.id) as place
             from runs r
             where r.status = 'pending' and r.admitted_at is null and r.cancel_requested_at is null
                 and (r.hold is distinct from 'awaiting_approval'
                     or exists (select 1 from run_approvals a where a.run_id = r.id))
         ) c
         where (hold is distinct from 'max_concurrent_runs' or place <= 32)
             and ($1::timestamptz is null or (created_at, id) > ($1, $2))
         order by created_at, id limit $3"#,
        after.map(|after| after.created_at),
        after.map(|after| after.run.uuid()),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| After { created_at: row.created_at, run: row.id.into() }).collect())
}

/// Reads a Run without locking it; `None` if it needs no admission (any more).
///
/// # Errors
/// A database error, or a snapshot that can't be read.
pub async fn read(connection: &mut Conn, run: RunId) -> Result<Option<Unadmitted>, Error> {
    let row = sqlx::query!(
        r#"select r.created_at, r.directive_snapshot, a.decision as "decision?: Col<Approval>"
         from runs r left join run_approvals a on a.run_id = r.id
         where r.id = $1 and r.status = 'pending' and r.admitted_at is null and r.cancel_requested_at is null"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let directive = serde_json::from_value(row.directive_snapshot)
        .map_err(|source| Error::Malformed { what: "directive snapshot", source })?;
    let approval = row.decision.map(|decision| decision.0);
    Ok(Some(Unadmitted { run, created_at: row.created_at, directive, approval }))
}

/// Lets one admission at a time count the Runs of this directive, whatever its versions. Before [`lock`].
///
/// # Errors
/// A database error.
pub async fn lock_directive(connection: &mut Conn, directive: DirectiveId) -> Result<(), Error> {
    sqlx::query!(
        "select id from directives where name = (select name from directives where id = $1)
         order by version limit 1 for no key update",
        directive.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// A Run that is locked and not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked {
    pub hold: Option<Hold>,
}

/// Locks a Run; `None` if it needs no admission any more.
///
/// # Errors
/// A database error.
pub async fn lock(connection: &mut Conn, run: RunId) -> Result<Option<Locked>, Error> {
    let row = sqlx::query!(
        r#"select hold as "hold: Col<Hold>" from runs
         where id = $1 and status = 'pending' and admitted_at is null and cancel_requested_at is null
         for no key update"#,
        run.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Locked { hold: row.hold.map(|hold| hold.0) }))
}

/// How many Runs of the directive, in any version, count before this one: those that are admitted and not finished,
/// and older ones that wait for nothing else.
///
/// # Errors
/// A database error.
pub async fn count_before(connection: &mut Conn, run: &Unadmitted) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from runs r
         where r.status in ('pending', 'running') and r.id <> $1
             and r.directive_id in (
                 select d.id from directives d where d.name = (select name from directives where id = $2))
             and (r.admitted_at is not null
                 or (r.hold is distinct from 'awaiting_approval' and r.cancel_requested_at is null
                     and (r.created_at, r.id) < ($3, $1)))"#,
        run.run.uuid(),
        run.directive.id.uuid(),
        run.created_at,
    )
    .fetch_one(connection)
    .await?;
    Ok(count.unsigned_abs())
}

/// The oldest Runs that are held because of others of the directive that this Run has.
///
/// # Errors
/// A database error.
pub async fn held_beside(connection: &mut Conn, run: RunId, limit: u32) -> Result<Vec<RunId>, Error> {
    let ids = sqlx::query_scalar!(
        "select r.id from runs r
         where r.status = 'pending' and r.admitted_at is null and r.hold = 'max_concurrent_runs'
             and r.directive_id in (select d.id from directives d where d.name = (
                 select name from directives where id = (select directive_id from runs where id = $1)))
         order by r.created_at, r.id limit $2",
        run.uuid(),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// Notes why a locked Run is held.
///
/// # Errors
/// A database error.
pub async fn hold(connection: &mut Conn, run: RunId, hold: Hold) -> Result<(), Error> {
    sqlx::query!("update runs set hold = $2 where id = $1", run.uuid(), hold.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes why the RunJobs of a Run wait that is not held and can't be admitted either.
///
/// # Errors
/// A database error.
pub async fn note_waiting(connection: &mut Conn, run: RunId, reason: &str) -> Result<(), Error> {
    sqlx::query!(
        "update run_jobs set waiting_reason = $2 where id in (
             select id from run_jobs where run_id = $1 and status = 'pending' and waiting_reason is distinct from $2
             order by id for no key update)",
        run.uuid(),
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Admits a locked Run: its waiting RunJobs may be placed from now on. Returns them. The wait of a held Run starts
/// now.
///
/// # Errors
/// A database error.
pub async fn admit(connection: &mut Conn, run: RunId, was: Option<Hold>) -> Result<Vec<RunJobId>, Error> {
    sqlx::query!("update runs set admitted_at = now(), hold = null where id = $1", run.uuid())
        .execute(&mut *connection)
        .await?;
    let ids = sqlx::query_scalar!(
        "update run_jobs set admitted = true, waiting_reason = null,
             not_before = case when $2 then now() else not_before end,
             deadline_at = case when $2
                 then now() + make_interval(secs => (spec -> 'timeouts' ->> 'queue_seconds')::integer)
                 else deadline_at end
         where id in (select id from run_jobs where run_id = $1 and status = 'pending' order by id for no key update)
         returning id",
        run.uuid(),
        was.is_some(),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// Locks the waiting RunJobs of a locked Run, and returns them in the order of the locks.
///
/// # Errors
/// A database error.
pub async fn lock_waiting(connection: &mut Conn, run: RunId) -> Result<Vec<RunJobId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from run_jobs where run_id = $1 and status = 'pending' order by id for no key update",
        run.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// A RunJob that is to become one per host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerHost {
    pub id: RunJobId,
    pub name: String,
    pub spec: JobSpec,
}

/// The waiting RunJobs of a Run whose job is one per host and that are pinned to none, in order.
///
/// # Errors
/// A database error, or a specification that can't be read.
pub async fn per_host(connection: &mut Conn, run: RunId) -> Result<Vec<PerHost>, Error> {
    let rows = sqlx::query!(
        "select r.id, r.name, r.spec from run_jobs r join jobs j on j.id = r.job_id
         where r.run_id = $1 and r.status = 'pending' and j.scope = 'per_host' and r.spec ->> 'host' is null
         order by r.ordinal",
        run.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let spec = serde_json::from_value(row.spec)
                .map_err(|source| Error::Malformed { what: "job specification", source })?;
            Ok(PerHost { id: row.id.into(), name: row.name, spec })
        })
        .collect()
}

/// How many RunJobs a Run has, and the highest ordinal among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub run_jobs: u64,
    pub last_ordinal: i32,
}

/// The size of a locked Run.
///
/// # Errors
/// A database error.
pub async fn size(connection: &mut Conn, run: RunId) -> Result<Size, Error> {
    let row = sqlx::query!(
        r#"select count(*) as "run_jobs!", coalesce(max(ordinal), 0) as "last_ordinal!" from run_jobs where run_id = $1"#,
        run.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Size { run_jobs: row.run_jobs.unsigned_abs(), last_ordinal: row.last_ordinal })
}

/// Names of the hosts that take new work, in order.
///
/// # Errors
/// A database error.
pub async fn open_hosts(connection: &mut Conn) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "select name from hosts where presence = 'live' and forgotten_at is null and not cordoned and not draining order by name"
    )
    .fetch_all(connection)
    .await?)
}

/// A RunJob as it is after it was pinned to a host.
#[derive(Debug, Clone, Serialize)]
pub struct Pinned {
    pub id: RunJobId,
    /// The RunJob that it is a copy of; the same as `id` for the original.
    pub original: RunJobId,
    pub ordinal: Option<i32>,
    pub name: String,
    pub spec: JobSpec,
    /// The key of `spec` for placement.
    pub shape: String,
}

/// Pins originals in place and inserts the copies.
///
/// # Errors
/// A database error.
pub async fn pin(connection: &mut Conn, pinned: &[Pinned]) -> Result<(), Error> {
    let (originals, copies): (Vec<&Pinned>, Vec<&Pinned>) =
        pinned.iter().partition(|pinned| pinned.id == pinned.original);
    sqlx::query!(
        "update run_jobs j set spec = p.spec, shape = p.shape
         from jsonb_to_recordset($1) as p(id uuid, spec jsonb, shape text) where j.id = p.id",
        to_json(&originals),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into run_jobs (id, run_id, ordinal, job_id, task_key, name, spec, params, inputs, priority, submitter,
             shape, not_before, deadline_at)
         select p.id, o.run_id, p.ordinal, o.job_id, o.task_key, p.name, p.spec, o.params, o.inputs, o.priority,
             o.submitter, p.shape, o.not_before, o.deadline_at
         from jsonb_to_recordset($1) as p(id uuid, original uuid, ordinal integer, name text, spec jsonb, shape text)
         join run_jobs o on o.id = p.original",
        to_json(&copies),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn to_json(rows: &[&Pinned]) -> serde_json::Value {
    serde_json::to_value(rows).expect("rows serialize: all keys are text")
}
