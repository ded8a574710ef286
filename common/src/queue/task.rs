//! What travels over the queues: ids, nothing else, as versioned JSON.
//!
//! Each task knows its queue, so that none can be pushed to, or taken from, a queue that is not its own.

use std::{fmt, str::FromStr};

use cyberbrain_core::{
    ids::{AttemptId, HostId, RunId, RunJobId},
    text_enum,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The payload format written by this build, and the only one it reads.
const VERSION: u16 = 1;

/// Every queue there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Runs to admit or close.
    Runs,
    /// RunJobs that wait for a place.
    RunJobs,
    /// Attempts offered to the launchers of one host.
    Launch(HostId),
}

text_enum! {
    /// A queue without its host: what a metric may carry as a label.
    QueueKind("queue") {
        /// See [`Queue::Runs`].
        Runs = "runs",
        /// See [`Queue::RunJobs`].
        RunJobs = "run_jobs",
        /// See [`Queue::Launch`].
        Launch = "launch",
    }
}

impl Queue {
    /// Which of the queues this is, without the host.
    #[must_use]
    pub const fn kind(self) -> QueueKind {
        match self {
            Self::Runs => QueueKind::Runs,
            Self::RunJobs => QueueKind::RunJobs,
            Self::Launch(_) => QueueKind::Launch,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        match self {
            Self::Runs | Self::RunJobs => Ok(()),
            Self::Launch(host) => write!(f, ":{host}"),
        }
    }
}

/// The text names no queue of ours.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no queue of ours")]
pub struct UnknownQueue(String);

impl FromStr for Queue {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownQueue(text.to_owned());
        match text.split_once(':') {
            None if text == QueueKind::Runs.as_str() => Ok(Self::Runs),
            None if text == QueueKind::RunJobs.as_str() => Ok(Self::RunJobs),
            Some((kind, host)) if kind == QueueKind::Launch.as_str() => {
                host.parse().map(Self::Launch).map_err(|_| unknown())
            }
            None | Some(_) => Err(unknown()),
        }
    }
}

/// A payload with a queue of its own. Closed: the three implementations are in this file.
pub trait Task: Serialize + DeserializeOwned + Send + 'static + sealed::Sealed {
    /// Where it goes.
    fn queue(&self) -> Queue;
}

/// Something is to be done about a Run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RunTask {
    /// It was submitted: look whether it may start.
    Admit(RunId),
    /// Its last open RunJob may have ended: look whether it can be closed.
    Close(RunId),
}

/// RunJobs wait for a place: run the placement tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceTask {
    run_jobs: Vec<RunJobId>,
}

impl PlaceTask {
    /// The most ids that one task carries.
    pub const MAX_RUN_JOBS: usize = 1_000;

    /// As few tasks as carry all of `run_jobs`; none for none.
    #[must_use]
    pub fn for_all(run_jobs: &[RunJobId]) -> Vec<Self> {
        run_jobs.chunks(Self::MAX_RUN_JOBS).map(|ids| Self { run_jobs: ids.to_vec() }).collect()
    }

    /// The RunJobs that wait: at least one, [`Self::MAX_RUN_JOBS`] at most.
    #[must_use]
    pub fn run_jobs(&self) -> &[RunJobId] {
        &self.run_jobs
    }
}

/// An attempt is offered to the launchers of a host. A wake-up: which attempts a launcher takes is decided on
/// the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchTask {
    /// The host whose launchers are asked.
    pub host: HostId,
    /// What they are offered.
    pub attempt: AttemptId,
}

impl Task for RunTask {
    fn queue(&self) -> Queue {
        Queue::Runs
    }
}

impl Task for PlaceTask {
    fn queue(&self) -> Queue {
        Queue::RunJobs
    }
}

impl Task for LaunchTask {
    fn queue(&self) -> Queue {
        Queue::Launch(self.host)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::RunTask {}
    impl Sealed for super::PlaceTask {}
    impl Sealed for super::LaunchTask {}
}

/// Why a payload can't be read. It is set aside, never tried again.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// Not JSON, or not the JSON of this queue's tasks.
    #[error("the payload is not a task of this queue")]
    Shape(#[source] serde_json::Error),
    /// Written by a newer or older build.
    #[error("the payload has version {0}, this build reads version {VERSION}")]
    Version(u16),
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    v: u16,
    task: &'a T,
}

#[derive(Deserialize)]
struct Header {
    v: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming<T> {
    #[serde(rename = "v")]
    _version: u16,
    task: T,
}

pub(super) fn encode<T: Task>(task: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Outgoing { v: VERSION, task })
}

pub(super) fn decode<T: Task>(payload: &[u8]) -> Result<T, Undecodable> {
    let Header { v } = serde_json::from_slice(payload).map_err(Undecodable::Shape)?;
    if v != VERSION {
        return Err(Undecodable::Version(v));
    }
    let Incoming { task, .. } = serde_json::from_slice(payload).map_err(Undecodable::Shape)?;
    Ok(task)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn run() -> RunId {
        Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001).into()
    }

    #[test]
    fn the_wire_format_is_what_other_builds_read() {
        let text = String::from_utf8(encode(&RunTask::Admit(run())).unwrap()).unwrap();
        assert_eq!(text, r#"{"v":1,"task":{"admit":"01920000-0000-7000-8000-000000000001"}}"#);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let close = RunTask::Close(run());
        assert_eq!(decode::<RunTask>(&encode(&close).unwrap()).unwrap(), close);
        let launch = LaunchTask { host: Uuid::from_u128(7).into(), attempt: Uuid::from_u128(8).into() };
        assert_eq!(decode::<LaunchTask>(&encode(&launch).unwrap()).unwrap(), launch);
    }

    #[test]
    fn what_is_not_ours_is_refused_with_its_reason() {
        let refused: [(&[u8], &str); 6] = [
            (b"\x00\xff not json", "not a task"),
            (b"", "not a task"),
            (br#"{"v":2,"task":{"admit":"01920000-0000-7000-8000-000000000001"}}"#, "has version 2"),
            (br#"{"v":1,"task":{"dance":"01920000-0000-7000-8000-000000000001"}}"#, "not a task"),
            (br#"{"v":1,"task":{"admit":"me"}}"#, "not a task"),
            (br#"{"v":1,"task":{"admit":"01920000-0000-7000-8000-000000000001"},"x":1}"#, "not a task"),
        ];
        for (payload, reason) in refused {
            let error = decode::<RunTask>(payload).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn names_of_queues_are_read_back() {
        for queue in [Queue::Runs, Queue::RunJobs, Queue::Launch(Uuid::from_u128(9).into())] {
            assert_eq!(queue.to_string().parse::<Queue>().unwrap(), queue);
        }
        for foreign in ["", "launch", "launch:", "launch:x", "runs:1", "emails"] {
            assert!(foreign.parse::<Queue>().is_err(), "{foreign}");
        }
    }

    #[test]
    fn place_tasks_carry_everything_in_as_few_as_possible() {
        let ids: Vec<RunJobId> = (0..2_001).map(|n| Uuid::from_u128(n).into()).collect();
        let tasks = PlaceTask::for_all(&ids);
        assert_eq!(tasks.iter().map(|t| t.run_jobs().len()).collect::<Vec<_>>(), [1_000, 1_000, 1]);
        assert_eq!(tasks.iter().flat_map(PlaceTask::run_jobs).copied().collect::<Vec<_>>(), ids);
        assert!(PlaceTask::for_all(&[]).is_empty());
    }
}
