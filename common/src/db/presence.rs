//! Who is in contact: the counters that the reaper watches, and what it found out about them.
//!
//! Every verdict is written only if the counter still is what the verdict was made of. Deliberately absent: how long
//! silence lasts and what it means (`core::watch`); no timestamp is compared here.

use cyberbrain_core::{
    ids::{AttemptId, Fence, GpuUuid, HostId, LauncherId, RunJobId},
    spec::OnHostLost,
    text_enum,
    watch::Presence,
};
use uuid::Uuid;

use super::{Col, Conn, Error, contact::GuardState};

text_enum! {
    /// State of a launcher process.
    LauncherState("launcher state") {
        Live = "live",
        /// Its contact counter stands still.
        Silent = "silent",
        /// It said so, or it has been silent for good.
        Ended = "ended",
    }
}

/// A launcher that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LauncherContact {
    pub launcher: LauncherId,
    pub host: HostId,
    /// Rises with every contact.
    pub contact: i64,
    pub state: LauncherState,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostContact {
    pub host: HostId,
    pub name: String,
    /// Rises with every contact of any of its launchers.
    pub contact: i64,
    /// As it is stored.
    pub presence: Presence,
    /// As of its last contact.
    pub guard: GuardState,
}

/// All counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contacts {
    pub launchers: Vec<LauncherContact>,
    pub hosts: Vec<HostContact>,
}

/// Reads all counters.
///
/// # Errors
/// A database error.
pub async fn contacts(connection: &mut Conn) -> Result<Contacts, Error> {
    let launchers = sqlx::query!(
        r#"select id, host_id, contact, state as "state: Col<LauncherState>" from launchers where state <> 'ended'"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let hosts = sqlx::query!(
        r#"select h.id, h.name, h.presence as "presence: Col<Presence>", h.guarded,
             coalesce((select sum(l.contact) from launchers l where l.host_id = h.id), 0)::bigint as "contact!"
           from hosts h where h.forgotten_at is null"#
    )
    .fetch_all(connection)
    .await?;
    Ok(Contacts {
        launchers: launchers
            .into_iter()
            .map(|row| LauncherContact {
                launcher: row.id.into(),
                host: row.host_id.into(),
                contact: row.contact,
                state: row.state.0,
            })
            .collect(),
        hosts: hosts
            .into_iter()
            .map(|row| HostContact {
                host: row.id.into(),
                name: row.name,
                contact: row.contact,
                presence: row.presence.0,
                guard: if row.guarded { GuardState::Present } else { GuardState::Absent },
            })
            .collect(),
    })
}

/// The sample counters of all GPUs.
///
/// # Errors
/// A database error.
pub async fn sample_counters(connection: &mut Conn) -> Result<Vec<(GpuUuid, i64)>, Error> {
    let rows = sqlx::query!("select gpu_uuid, sample_seq from gpu_observed").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.gpu_uuid.into(), row.sample_seq)).collect())
}

/// Marks launchers, each if its counter still is what was seen. Returns those that were marked.
///
/// # Errors
/// A database error.
pub async fn mark_launchers(
    connection: &mut Conn,
    seen: &[(LauncherId, i64)],
    state: LauncherState,
) -> Result<Vec<LauncherId>, Error> {
    let ids: Vec<Uuid> = seen.iter().map(|(id, _)| id.uuid()).collect();
    let contacts: Vec<i64> = seen.iter().map(|(_, contact)| *contact).collect();
    let marked = sqlx::query_scalar!(
        "update launchers l set state = $3 from unnest($1::uuid[], $2::bigint[]) as s(id, contact)
         where l.id = s.id and l.contact = s.contact and l.state <> 'ended' and l.state <> $3 returning l.id",
        &ids,
        &contacts,
        state.as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(marked.into_iter().map(Into::into).collect())
}

/// Notes that these launchers, silent for good and without attempts, are gone: those on whose host another one is
/// live. Where none is, they may all come back together. Returns how many.
///
/// # Errors
/// A database error.
pub async fn retire_launchers(connection: &mut Conn, launchers: &[LauncherId]) -> Result<u64, Error> {
    let ids: Vec<Uuid> = launchers.iter().map(|id| id.uuid()).collect();
    let done = sqlx::query!(
        "update launchers l set state = 'ended' where l.id = any($1) and l.state = 'silent'
             and exists (select 1 from launchers s where s.host_id = l.host_id and s.state = 'live')
             and not exists (
                 select 1 from attempts a where a.launcher_id = l.id and a.state not in ('done', 'lost'))",
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Marks hosts, each if its counter still is what was seen. A host that is not live gets no new work until it has
/// been reconciled again. Returns those that were marked.
///
/// # Errors
/// A database error.
pub async fn mark_hosts(
    connection: &mut Conn,
    seen: &[(HostId, i64)],
    presence: Presence,
) -> Result<Vec<HostId>, Error> {
    let ids: Vec<Uuid> = seen.iter().map(|(id, _)| id.uuid()).collect();
    let contacts: Vec<i64> = seen.iter().map(|(_, contact)| *contact).collect();
    let marked = sqlx::query_scalar!(
        "update hosts set presence = $3,
             reconciled_at = case when $3 = 'live' then reconciled_at end
         where id in (
             select h.id from hosts h join unnest($1::uuid[], $2::bigint[]) as s(id, contact) on s.id = h.id
             where h.presence <> $3
                 and coalesce((select sum(l.contact) from launchers l where l.host_id = h.id), 0) = s.contact
             order by h.id for no key update of h)
         returning id",
        &ids,
        &contacts,
        presence.as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(marked.into_iter().map(Into::into).collect())
}

/// Whether the host's counter still is what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    StandsStill,
    Moved,
}

/// Looks at a host's counter once more, right before something is done because of its silence.
///
/// # Errors
/// A database error.
pub async fn look_again(connection: &mut Conn, host: HostId, seen: i64) -> Result<Contact, Error> {
    let contact = sqlx::query_scalar!(
        r#"select coalesce(sum(contact), 0)::bigint as "contact!" from launchers where host_id = $1"#,
        host.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(if contact == seen { Contact::StandsStill } else { Contact::Moved })
}

/// An attempt that a launcher has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenAttempt {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    pub host: HostId,
    pub fence: Fence,
}

/// A page of taken attempts whose owner is in this state, by attempt; locked, without those that somebody
/// is just changing.
///
/// # Errors
/// A database error.
pub async fn attempts_of_owners(
    connection: &mut Conn,
    owner: LauncherState,
    after: Option<AttemptId>,
    limit: u32,
) -> Result<Vec<TakenAttempt>, Error> {
    let rows = sqlx::query!(
        "select a.id, a.run_job_id, a.host_id, a.fence
         from attempts a join launchers l on l.id = a.launcher_id join run_jobs j on j.id = a.run_job_id
         where a.state in ('accepted', 'starting', 'running', 'stopping') and l.state = $1
             and ($2::uuid is null or a.id > $2)
         order by a.id limit $3
         for no key update of j, a skip locked",
        owner.as_str(),
        after.map(AttemptId::uuid),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TakenAttempt {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            host: row.host_id.into(),
            fence: Fence(row.fence),
        })
        .collect())
}

/// A taken attempt on a silent host, and what its RunJob says about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtRisk {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    pub host_lost_seconds: u32,
    pub stop_grace_seconds: u32,
    pub on_host_lost: OnHostLost,
}

/// A page of the taken attempts of a host, by attempt; locked, without those that somebody is just changing.
///
/// # Errors
/// A database error.
pub async fn at_risk(
    connection: &mut Conn,
    host: HostId,
    after: Option<AttemptId>,
    limit: u32,
) -> Result<Vec<AtRisk>, Error> {
    let rows = sqlx::query!(
        r#"select a.id, a.run_job_id, (j.spec -> 'timeouts' ->> 'host_lost_seconds')::bigint as "host_lost_seconds!",
             (j.spec -> 'timeouts' ->> 'stop_grace_seconds')::bigint as "stop_grace_seconds!",
             j.spec ->> 'on_host_lost' as "on_host_lost!: Col<OnHostLost>"
           from attempts a join run_jobs j on j.id = a.run_job_id
           where a.host_id = $1 and a.state in ('accepted', 'starting', 'running', 'stopping')
               and ($2::uuid is null or a.id > $2)
           order by a.id limit $3
           for no key update of j, a skip locked"#,
        host.uuid(),
        after.map(AttemptId::uuid),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    let seconds = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
    Ok(rows
        .into_iter()
        .map(|row| AtRisk {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            host_lost_seconds: seconds(row.host_lost_seconds),
            stop_grace_seconds: seconds(row.stop_grace_seconds),
            on_host_lost: row.on_host_lost.0,
        })
        .collect())
}
