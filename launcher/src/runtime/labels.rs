//! Labels: what makes a container recognisable as ours after everything that knew it has died.
//!
//! Labels can't be changed after creation, so they never carry the fence; the name does.

use std::collections::{BTreeMap, HashMap};

use cyberbrain_core::ids::{AttemptId, InstanceId, RunId, RunJobId};

pub(super) const INSTANCE: &str = "cyberbrain.instance";
const RUN_ID: &str = "cyberbrain.run_id";
const RUN_JOB_ID: &str = "cyberbrain.run_job_id";
const ATTEMPT_ID: &str = "cyberbrain.attempt_id";
const ATTEMPT: &str = "cyberbrain.attempt";
const TASK_KEY: &str = "cyberbrain.task_key";
const ROLE: &str = "cyberbrain.role";
const EPHEMERAL: &str = "cyberbrain.ephemeral";

/// The labels of a container of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub instance: InstanceId,
    pub purpose: Purpose,
}

/// What a container of ours is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// It does the work of an attempt.
    Worker(WorkerLabels),
    /// It serves the launcher itself, e.g. `preflight`.
    Helper { role: String },
}

/// Which attempt a worker container was created for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLabels {
    pub run_id: RunId,
    pub run_job_id: RunJobId,
    pub attempt_id: AttemptId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    pub task_key: String,
}

impl Labels {
    /// As the engine stores them.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let own = match &self.purpose {
            Purpose::Worker(worker) => vec![
                (RUN_ID, worker.run_id.to_string()),
                (RUN_JOB_ID, worker.run_job_id.to_string()),
                (ATTEMPT_ID, worker.attempt_id.to_string()),
                (ATTEMPT, worker.attempt.to_string()),
                (TASK_KEY, worker.task_key.clone()),
            ],
            Purpose::Helper { role } => vec![(ROLE, role.clone())],
        };
        let common = [(INSTANCE, self.instance.to_string()), (EPHEMERAL, "true".to_owned())];
        common.into_iter().chain(own).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads them back; `None` if they are not, or not all, of this form.
    #[must_use]
    pub fn parse(map: &HashMap<String, String>) -> Option<Self> {
        let get = |key: &str| map.get(key).map(String::as_str);
        let instance = get(INSTANCE)?.parse().ok()?;
        let purpose = match (get(ROLE), get(ATTEMPT_ID)) {
            (Some(role), None) => Purpose::Helper { role: role.to_owned() },
            (None, Some(attempt_id)) => Purpose::Worker(WorkerLabels {
                run_id: get(RUN_ID)?.parse().ok()?,
                run_job_id: get(RUN_JOB_ID)?.parse().ok()?,
                attempt_id: attempt_id.parse().ok()?,
                attempt: get(ATTEMPT)?.parse().ok()?,
                task_key: get(TASK_KEY)?.to_owned(),
            }),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Self { instance, purpose })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn worker() -> Labels {
        Labels {
            instance: Uuid::from_u128(1).into(),
            purpose: Purpose::Worker(WorkerLabels {
                run_id: Uuid::from_u128(2).into(),
                run_job_id: Uuid::from_u128(3).into(),
                attempt_id: Uuid::from_u128(4).into(),
                attempt: 5,
                task_key: "log_triage".into(),
            }),
        }
    }

    #[test]
    fn labels_read_back() {
        let helper = Labels {
            instance: Uuid::from_u128(1).into(),
            purpose: Purpose::Helper { role: "preflight".into() },
        };
        for labels in [worker(), helper] {
            let map = labels.to_map().into_iter().collect();
            assert_eq!(Labels::parse(&map), Some(labels));
        }
    }

    #[test]
    fn a_worker_carries_exactly_the_documented_labels() {
        let map = worker().to_map();
        let keys: Vec<_> = map.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "cyberbrain.attempt",
                "cyberbrain.attempt_id",
                "cyberbrain.ephemeral",
                "cyberbrain.instance",
                "cyberbrain.run_id",
                "cyberbrain.run_job_id",
                "cyberbrain.task_key",
            ]
        );
        assert_eq!(map["cyberbrain.ephemeral"], "true");
    }

    #[test]
    fn incomplete_or_mixed_labels_are_nobodys() {
        for key in worker().to_map().keys().filter(|key| *key != EPHEMERAL) {
            let mut map: HashMap<_, _> = worker().to_map().into_iter().collect();
            map.remove(key);
            assert_eq!(Labels::parse(&map), None, "without {key}");
        }
        let mut map: HashMap<_, _> = worker().to_map().into_iter().collect();
        map.insert(ROLE.into(), "preflight".into());
        assert_eq!(Labels::parse(&map), None);
    }
}
