//! Taking attempts: offers that are open, and orphans whose owner fell silent.
//!
//! Both skip what somebody else is just taking, so that launchers of one host never wait for each other. Whoever
//! commits owns the attempt under the fence that is returned.

use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, Fence, HostId, LauncherId, RunJobId},
    lifecycle::Event,
};

use super::{
    Conn, Error,
    transition::{Facts, Step, transition_all},
};

/// An attempt that now belongs to the launcher that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    pub fence: Fence,
}

/// How the open offers to a host are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub offers: u32,
    /// Live launchers of the host, this one included.
    pub launchers: u32,
    /// Attempts that this launcher drives.
    pub own: u32,
    /// Attempts that the others drive.
    pub others: u32,
}

impl Share {
    /// How many offers are ours to take at once: an equal part of them, and no more than makes our load an equal part
    /// of all of it. What is left is for the siblings first.
    #[must_use]
    pub fn part(self) -> u32 {
        let load = self.own.saturating_add(self.others).saturating_add(self.offers);
        let fair = load.div_ceil(self.launchers).saturating_sub(self.own);
        self.offers.div_ceil(self.launchers).min(fair)
    }
}

/// What is on offer to this host, and how many launchers share it.
///
/// # Errors
/// A database error.
pub async fn share(connection: &mut Conn, host: HostId, launcher: LauncherId) -> Result<Share, Error> {
    let row = sqlx::query!(
        r#"select
             (select count(*) from attempts where host_id = $1 and state = 'offered') as "offers!",
             (select count(*) from launchers where host_id = $1 and state = 'live' and id <> $2) as "siblings!",
             (select count(*) from attempts where launcher_id = $2 and state not in ('done', 'lost')) as "own!",
             (select count(*) from attempts a join launchers l on l.id = a.launcher_id
              where a.host_id = $1 and a.state not in ('done', 'lost') and l.state = 'live' and l.id <> $2) as "others!""#,
        host.uuid(),
        launcher.uuid(),
    )
    .fetch_one(connection)
    .await?;
    let count = |rows: i64| u32::try_from(rows).unwrap_or(u32::MAX);
    Ok(Share {
        offers: count(row.offers),
        launchers: count(row.siblings).saturating_add(1),
        own: count(row.own),
        others: count(row.others),
    })
}

/// Which of these hosts have open offers.
///
/// # Errors
/// A database error.
pub async fn hosts_with_offers(connection: &mut Conn, hosts: &[HostId]) -> Result<Vec<HostId>, Error> {
    let ids: Vec<uuid::Uuid> = hosts.iter().map(|id| id.uuid()).collect();
    let found = sqlx::query_scalar!(
        "select distinct host_id from attempts where host_id = any($1) and state = 'offered'",
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Accepts at most `limit` of the offers to this host: highest priority first, then oldest. None while the queue
/// `launch` is paused.
///
/// # Errors
/// A database error; roll back then.
pub async fn accept(
    connection: &mut Conn,
    host: HostId,
    launcher: LauncherId,
    limit: u32,
    actor: &Actor,
) -> Result<Vec<Taken>, Error> {
    let rows = sqlx::query!(
        "select j.id as run_job, a.id as attempt, a.fence
         from attempts a join run_jobs j on j.id = a.run_job_id
         where a.host_id = $1 and a.state = 'offered' and a.launcher_id is null
             and not exists (select 1 from queue_pauses where queue = 'launch')
         order by j.priority desc, a.offered_at, a.id limit $2
         for no key update of j, a skip locked",
        host.uuid(),
        i64::from(limit),
    )
    .fetch_all(&mut *connection)
    .await?;
    let open = rows
        .into_iter()
        .map(|row| Taken {
            run_job: row.run_job.into(),
            attempt: row.attempt.into(),
            fence: Fence(row.fence),
        })
        .collect();
    take(connection, open, launcher, actor, |fence| Event::Accept { fence }).await
}

/// Adopts at most `limit` of this host's attempts that nobody owns.
///
/// # Errors
/// A database error; roll back then.
pub async fn adopt(
    connection: &mut Conn,
    host: HostId,
    launcher: LauncherId,
    limit: u32,
    actor: &Actor,
) -> Result<Vec<Taken>, Error> {
    let rows = sqlx::query!(
        "select j.id as run_job, a.id as attempt, a.fence
         from attempts a join run_jobs j on j.id = a.run_job_id
         where a.host_id = $1 and a.launcher_id is null and a.state in ('accepted', 'starting', 'running', 'stopping')
         order by a.id limit $2
         for no key update of j, a skip locked",
        host.uuid(),
        i64::from(limit),
    )
    .fetch_all(&mut *connection)
    .await?;
    let orphans = rows
        .into_iter()
        .map(|row| Taken {
            run_job: row.run_job.into(),
            attempt: row.attempt.into(),
            fence: Fence(row.fence),
        })
        .collect();
    take(connection, orphans, launcher, actor, |fence| Event::Adopt { fence }).await
}

async fn take(
    connection: &mut Conn,
    candidates: Vec<Taken>,
    launcher: LauncherId,
    actor: &Actor,
    event: impl Fn(Fence) -> Event,
) -> Result<Vec<Taken>, Error> {
    let steps: Vec<Step> = candidates
        .iter()
        .map(|taken| Step {
            run_job: taken.run_job,
            event: event(taken.fence),
            facts: Facts { launcher: Some(launcher), ..Facts::default() },
        })
        .collect();
    let outcomes = transition_all(connection, &steps, actor).await?;
    Ok(candidates
        .into_iter()
        .zip(outcomes)
        .filter_map(|(taken, outcome)| outcome.is_ok().then_some(taken))
        .collect())
}

/// Gives attempts back so that somebody else can adopt them. Those that are not the caller's any more stay as they
/// are.
///
/// # Errors
/// A database error; roll back then.
pub async fn hand_over(connection: &mut Conn, held: &[Taken], actor: &Actor) -> Result<(), Error> {
    let steps: Vec<Step> =
        held.iter().map(|taken| Step::new(taken.run_job, Event::Orphan { fence: taken.fence })).collect();
    transition_all(connection, &steps, actor).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn the_less_loaded_take_first() {
        for (offers, launchers, own, others, part) in [
            (1, 1, 0, 0, 1),
            (10, 1, 7, 0, 10),
            (1, 2, 0, 0, 1),
            (1, 2, 1, 0, 0),
            (1, 2, 0, 1, 1),
            (5, 2, 0, 0, 3),
            (5, 2, 4, 0, 1),
            (6, 3, 0, 8, 2),
            (4, 2, 9, 1, 0),
            (0, 2, 0, 0, 0),
        ] {
            let share = Share { offers, launchers, own, others };
            assert_eq!(share.part(), part, "{share:?}");
        }
    }
}
