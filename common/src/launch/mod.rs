//! The one way a Run comes into being: REST, MCP and schedules all call [`launch`] or [`launch_in`].
//!
//! One transaction holds the idempotency key, the Run with its directive snapshot, its RunJobs with their frozen
//! specifications, the audit rows and the queue pushes: either all of it is there or nothing is.
//!
//! Guarantees: a request that is refused stores nothing and is told everything that is wrong with it at once; the
//! same idempotency key never makes a second Run. Deliberately absent: approval and concurrency limits, which are
//! looked at when the Run is admitted, and the fan-out of `per_host` jobs.

mod builtin;
pub(crate) mod check;
pub mod describe;
mod error;
pub(crate) mod gpu;
mod idempotency;
pub(crate) mod object;
mod params;
mod plan;
pub(crate) mod problem;
mod repeat;
mod request;
mod store;

#[cfg(test)]
mod tests;

use cyberbrain_core::{audit::Actor, ids::RunId};
use sqlx::Connection as _;

pub use error::Error;
pub use idempotency::{Fingerprint, IdempotencyKey, InvalidKey, KEY_LIFETIME_HOURS, Once};
pub use params::Params;
pub use problem::{MAX_PROBLEMS, Problem};
pub use repeat::{Repeat, repeat};
pub use request::{GpuWish, LaunchRequest, RunJobRequest, limit};

use crate::{
    db::{Conn, Pool, idempotency as stored_keys},
    metric,
};

/// What came of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launched {
    pub run: RunId,
    pub kind: LaunchKind,
}

/// Whether the Run is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchKind {
    /// Made by this call, with that many RunJobs.
    New { run_jobs: usize },
    /// Made by an earlier call with the same idempotency key and the same request.
    Replayed,
}

/// Launches in a transaction of its own.
///
/// # Errors
/// See [`Error`]. After [`Error::Database`] it is unknown whether the Run exists, unless the request is repeated with
/// its idempotency key. Dropping the future rolls back, unless the commit was under way.
pub async fn launch(
    pool: &Pool,
    request: &LaunchRequest,
    actor: &Actor,
    once: Option<&Once<'_>>,
) -> Result<Launched, Error> {
    let mut connection = pool.acquire().await.map_err(crate::db::Error::from)?;
    launch_on(&mut connection, request, actor, once).await
}

/// Launches in a transaction of its own on this connection; otherwise as [`launch`].
///
/// # Errors
/// As [`launch`].
pub async fn launch_on(
    connection: &mut Conn,
    request: &LaunchRequest,
    actor: &Actor,
    once: Option<&Once<'_>>,
) -> Result<Launched, Error> {
    // Before the transaction: most wrong requests cost the database nothing.
    check::check(request)?;
    let mut tx = connection.begin().await.map_err(crate::db::Error::from)?;
    let launched = launch_in(&mut tx, request, actor, once).await?;
    tx.commit().await.map_err(crate::db::Error::from)?;
    told(launched, actor);
    Ok(launched)
}

/// Counts and logs a committed launch.
fn told(launched: Launched, actor: &Actor) {
    if let LaunchKind::New { run_jobs } = launched.kind {
        metrics::counter!(metric::JOBS_SUBMITTED).increment(run_jobs as u64);
        tracing::info!(run.id = %launched.run, run_jobs, actor = %actor, "run launched");
    }
}

/// Launches in the caller's transaction, for callers that write more with it.
///
/// # Errors
/// See [`Error`]; the caller must roll back after any of them.
pub async fn launch_in(
    connection: &mut Conn,
    request: &LaunchRequest,
    actor: &Actor,
    once: Option<&Once<'_>>,
) -> Result<Launched, Error> {
    check::check(request)?;
    let fingerprint = Fingerprint::of(request);
    if let Some(known) = replayed(connection, once, &fingerprint, actor).await? {
        return Ok(known);
    }
    let launched = make(connection, request, actor).await?;
    remember(connection, once, &fingerprint, actor, launched.run).await?;
    Ok(launched)
}

/// The Run that the same call made before. Otherwise the key is held until the end of the transaction: of several equal
/// calls one works and the others find its Run.
async fn replayed(
    connection: &mut Conn,
    once: Option<&Once<'_>>,
    fingerprint: &Fingerprint,
    actor: &Actor,
) -> Result<Option<Launched>, Error> {
    let Some(once) = once else { return Ok(None) };
    let principal = actor.to_string();
    let slot = once.slot(&principal);
    stored_keys::lock(connection, slot).await.map_err(Error::from_key_lock)?;
    match stored_keys::find(connection, slot, KEY_LIFETIME_HOURS).await? {
        Some(known) if known.fingerprint == fingerprint.as_bytes() => {
            Ok(Some(Launched { run: known.run, kind: LaunchKind::Replayed }))
        }
        Some(_) => Err(Error::KeyReused),
        None => Ok(None),
    }
}

/// Stores what the key made. To be called after [`replayed`].
async fn remember(
    connection: &mut Conn,
    once: Option<&Once<'_>>,
    fingerprint: &Fingerprint,
    actor: &Actor,
    run: RunId,
) -> Result<(), Error> {
    let Some(once) = once else { return Ok(()) };
    let principal = actor.to_string();
    Ok(stored_keys::store(connection, once.slot(&principal), fingerprint.as_bytes(), run).await?)
}

async fn make(connection: &mut Conn, request: &LaunchRequest, actor: &Actor) -> Result<Launched, Error> {
    let library = plan::Library::read(connection, request).await?;
    let plan = plan::plan(request, &library)?;
    let params = request.params.clone().unwrap_or_default();
    let header =
        store::Header { params: &params, priority: request.priority, tags: &request.tags, origin: None };
    let run = store::store(connection, &header, &plan, actor).await?;
    Ok(Launched { run, kind: LaunchKind::New { run_jobs: plan.run_jobs.len() } })
}
