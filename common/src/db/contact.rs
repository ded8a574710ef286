//! The contact statement: how a launcher shows that it is alive and hears what concerns it.
//!
//! One statement, on a connection of its own, whatever else the process does. It waits for no row lock of others:
//! only the launchers' own rows are written unconditionally, and those are written by nobody else for long.

use cyberbrain_core::ids::{AttemptId, Fence, HostId, LauncherId};
use uuid::Uuid;

use super::{Conn, Error};

/// An attempt that a launcher of this process believes to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub launcher: LauncherId,
    pub attempt: AttemptId,
    pub fence: Fence,
}

/// Whether a guard watches over the host's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardState {
    Present,
    Absent,
}

/// What one launcher hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub launcher: LauncherId,
    pub host: HostId,
    /// Other live launchers of the host.
    pub siblings: u32,
    /// Open offers to the host.
    pub offers: u32,
    /// Attempts of the host that nobody owns.
    pub orphans: u32,
    /// Held attempts that somebody wants cancelled.
    pub cancels: Vec<AttemptId>,
    /// Held attempts that are not this launcher's any more.
    pub lost: Vec<AttemptId>,
}

/// Raises the contact counters of these launchers and tells each what concerns it. A launcher that is missing in the
/// answer has been ended by somebody else.
///
/// # Errors
/// A database error.
pub async fn contact(
    connection: &mut Conn,
    launchers: &[LauncherId],
    guard: GuardState,
    held: &[Held],
) -> Result<Vec<Heard>, Error> {
    let ids: Vec<Uuid> = launchers.iter().map(|id| id.uuid()).collect();
    let holders: Vec<Uuid> = held.iter().map(|held| held.launcher.uuid()).collect();
    let attempts: Vec<Uuid> = held.iter().map(|held| held.attempt.uuid()).collect();
    let fences: Vec<i32> = held.iter().map(|held| held.fence.0).collect();
    let rows = sqlx::query!(
        r#"with beat as (
               update launchers set contact = contact + 1, last_contact_at = now()
               where id = any($1) and state <> 'ended' returning id, host_id
           ), host_beat as (
               update hosts set last_contact_at = now(), guarded = $2 where id in (
                   select id from hosts where id in (select host_id from beat)
                       and (guarded <> $2 or last_contact_at < now() - interval '3 seconds')
                   for no key update skip locked)
           ), held as (
               select t.launcher, t.attempt,
                   a.id is null or a.fence <> t.fence or a.launcher_id is distinct from t.launcher
                       or a.state in ('done', 'lost') as gone,
                   j.cancel_requested_at is not null as cancel
               from unnest($3::uuid[], $4::uuid[], $5::integer[]) as t(launcher, attempt, fence)
               left join attempts a on a.id = t.attempt left join run_jobs j on j.id = a.run_job_id
           )
           select b.id, b.host_id,
               (select count(*) from launchers s where s.host_id = b.host_id and s.state = 'live' and s.id <> b.id)
                   as "siblings!",
               (select count(*) from attempts a where a.host_id = b.host_id and a.state = 'offered') as "offers!",
               (select count(*) from attempts a where a.host_id = b.host_id and a.launcher_id is null
                   and a.state in ('accepted', 'starting', 'running', 'stopping')) as "orphans!",
               array(select attempt from held where launcher = b.id and cancel and not gone) as "cancels!",
               array(select attempt from held where launcher = b.id and gone) as "lost!"
           from beat b"#,
        &ids,
        matches!(guard, GuardState::Present),
        &holders,
        &attempts,
        &fences,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Heard {
            launcher: row.id.into(),
            host: row.host_id.into(),
            siblings: count(row.siblings),
            offers: count(row.offers),
            orphans: count(row.orphans),
            cancels: row.cancels.into_iter().map(Into::into).collect(),
            lost: row.lost.into_iter().map(Into::into).collect(),
        })
        .collect())
}

fn count(rows: i64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
