//! What the guard does about what it has read: pure. The clock, the files and the engine are the callers'.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use cyberbrain_core::{
    ids::{AttemptId, InstanceId},
    spec::Timeouts,
    staging::ContainerState,
    watch::{
        SILENT_AFTER,
        guard::{Judgement, MARGIN, judge, least_host_lost_after},
    },
};

use super::record::{ContactRecord, WatchedAttempt};
use crate::runtime::{ContainerName, EngineIdentity, Labels, Listed, Purpose};

/// A record without attempts, of a launcher that seems to be gone.
const KEEP_EMPTY: Duration = Duration::from_secs(60);
/// One with attempts: long after they were adopted by a sibling.
const KEEP: Duration = Duration::from_secs(3_600);

/// What is known of the launchers, including what was last known of those whose record can't be read now.
#[derive(Debug, Default)]
pub(super) struct Known {
    records: BTreeMap<PathBuf, ContactRecord>,
    broken: BTreeSet<PathBuf>,
}

/// A record that can't be used, told once.
#[derive(Debug)]
pub(super) enum Broken {
    Unreadable(io::Error),
    /// Sent later than now, by a clock that never goes back.
    FromTheFuture,
}

impl Known {
    /// Takes what was read. `now_ms` is the boot-time clock after reading. Gives what has become unusable since the
    /// last time.
    pub(super) fn refresh(
        &mut self,
        read: BTreeMap<PathBuf, io::Result<ContactRecord>>,
        boot_id: &str,
        now_ms: u64,
    ) -> Vec<(PathBuf, Broken)> {
        self.records.retain(|path, _| read.contains_key(path));
        self.broken.retain(|path| read.contains_key(path));
        let mut news = Vec::new();
        for (path, record) in read {
            let broken = match record {
                // A record of another boot means another clock.
                Ok(record) if record.boot_id == boot_id && record.sent_at_boottime_ms > now_ms => {
                    Broken::FromTheFuture
                }
                Ok(record) => {
                    self.broken.remove(&path);
                    self.records.insert(path, record);
                    continue;
                }
                Err(error) => Broken::Unreadable(error),
            };
            if self.broken.insert(path.clone()) {
                news.push((path, broken));
            }
        }
        news
    }

    /// The instances that have been in contact from this engine since this boot.
    pub(super) fn instances(&self, engine: &EngineIdentity, now_ms: u64) -> Vec<InstanceView> {
        let mut by_instance: BTreeMap<InstanceId, Vec<&ContactRecord>> = BTreeMap::new();
        for record in self.records.values().filter(|record| is_of(record, engine)) {
            by_instance.entry(record.instance).or_default().push(record);
        }
        let view = |(id, mut records): (InstanceId, Vec<&ContactRecord>)| {
            // The newest comes last: what it says of an attempt counts.
            records.sort_by_key(|record| record.sent_at_boottime_ms);
            let newest_ms = records.last().map_or(0, |record| record.sent_at_boottime_ms);
            let attempts = records.iter().flat_map(|record| &record.attempts);
            InstanceView {
                id,
                silence: Duration::from_millis(now_ms.saturating_sub(newest_ms)),
                attempts: attempts.map(|attempt| (attempt.attempt, *attempt)).collect(),
            }
        };
        by_instance.into_iter().map(view).collect()
    }

    /// Records that say nothing any more: of another boot, or of a launcher long silent beside one in contact.
    pub(super) fn outdated(&self, engine: &EngineIdentity, now_ms: u64) -> Vec<&Path> {
        let age =
            |record: &ContactRecord| Duration::from_millis(now_ms.saturating_sub(record.sent_at_boottime_ms));
        let in_contact: BTreeSet<InstanceId> = self
            .records
            .values()
            .filter(|record| is_of(record, engine) && age(record) < SILENT_AFTER)
            .map(|record| record.instance)
            .collect();
        let outdated = |record: &ContactRecord| {
            let keep = if record.attempts.is_empty() { KEEP_EMPTY } else { KEEP };
            record.boot_id != engine.boot_id
                || (in_contact.contains(&record.instance) && is_of(record, engine) && age(record) >= keep)
        };
        self.records.iter().filter(|(_, record)| outdated(record)).map(|(path, _)| path.as_path()).collect()
    }
}

fn is_of(record: &ContactRecord, engine: &EngineIdentity) -> bool {
    record.boot_id == engine.boot_id && record.engine_id == engine.engine_id
}

/// One instance, as its launchers on this host left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstanceView {
    pub id: InstanceId,
    /// Since the newest contact of any of its launchers was sent.
    pub silence: Duration,
    pub attempts: BTreeMap<AttemptId, WatchedAttempt>,
}

/// A worker to be stopped now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub name: ContainerName,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl InstanceView {
    /// Whether it has missed so many contacts that some worker may be due.
    pub(super) fn is_silent(&self) -> bool {
        // No limit is shorter: see `Limits::of`.
        self.silence >= SILENT_AFTER
    }

    /// The workers whose time is up, those with the least time left first.
    pub(super) fn due(&self, containers: &[Listed]) -> Vec<Stop> {
        let mut due: Vec<Stop> = containers.iter().filter_map(|container| self.stop(container)).collect();
        due.sort_by(|one, other| (one.grace, &one.name).cmp(&(other.grace, &other.name)));
        due
    }

    fn stop(&self, container: &Listed) -> Option<Stop> {
        let Some(Labels { purpose: Purpose::Worker(worker), .. }) = &container.labels else { return None };
        match container.state {
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => {}
            ContainerState::Created
            | ContainerState::Exited
            | ContainerState::Removing
            | ContainerState::Dead => return None,
        }
        let Limits { lost_after, grace } = Limits::of(self.attempts.get(&worker.attempt_id))?;
        match judge(self.silence, lost_after, grace) {
            Judgement::Keep { .. } => None,
            Judgement::Stop => {
                let left = lost_after.saturating_sub(MARGIN).saturating_sub(self.silence);
                Some(Stop { name: container.name.clone(), grace: grace.min(left) })
            }
        }
    }
}

/// What holds for one attempt.
struct Limits {
    lost_after: Duration,
    grace: Duration,
}

impl Limits {
    /// `None` if its work is given to nobody. No `lost_after` is below the least one, for the scheduler as for us.
    /// Of an attempt that was taken after the last record, the least is all that is certain; the usual grace still
    /// ends before any verdict.
    fn of(attempt: Option<&WatchedAttempt>) -> Option<Self> {
        let (lost_after, grace) = match attempt {
            Some(attempt) => (attempt.host_lost_seconds?, attempt.stop_grace_seconds),
            None => (0, Timeouts::default().stop_grace_seconds),
        };
        let grace = Duration::from_secs(grace.into());
        Some(Self {
            lost_after: Duration::from_secs(lost_after.into()).max(least_host_lost_after(grace)),
            grace,
        })
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
