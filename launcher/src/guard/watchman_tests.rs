use std::{collections::BTreeMap, path::Path};

use cyberbrain_common::db::contact::GuardState;
use cyberbrain_core::{
    ids::{AttemptId, Fence, LauncherId},
    spec::{Network, Resources},
};
use cyberbrain_testkit::wait_until;

use super::*;
use crate::{
    guard::{Contact, EngineOnBoot, WatchedAttempt, lock, presence},
    runtime::{
        ContainerName, ContainerPlan, EngineCall, Fault, FaultEffect, Labels, Mounts, Observation, Purpose,
        SimulatedOptions, SimulatedRuntime, User, WorkerLabels,
    },
};

const LIMIT: Duration = Duration::from_secs(10);

/// A simulated engine with one running worker, and its launcher's contact.
struct Host {
    directory: tempfile::TempDir,
    simulated: Arc<SimulatedRuntime>,
    engine: Arc<dyn WorkerRuntime>,
    identity: EngineIdentity,
    attempt: AttemptId,
    worker: ContainerName,
    contact: Contact,
}

impl Host {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SimulatedOptions::named("guarded");
        options.images.insert(SimulatedRuntime::builtin_image());
        let simulated = Arc::new(SimulatedRuntime::new(options));
        let engine: Arc<dyn WorkerRuntime> = simulated.clone();
        let identity = engine.identify().await.unwrap();
        let instance = Uuid::now_v7().into();
        let launcher = LauncherId::from(Uuid::now_v7());
        let contact = Contact::new(directory.path(), launcher, instance, (&identity).into()).unwrap();
        let attempt = Uuid::now_v7().into();
        let plan = plan(instance, attempt);
        engine.create(&plan).await.unwrap();
        engine.start(&plan.name).await.unwrap();
        Self { directory, simulated, engine, identity, attempt, worker: plan.name, contact }
    }

    fn records(&self) -> Records {
        Records::of(self.directory.path())
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn note(&self, ago: Duration) {
        let sent = boot_clock::now_ms() - u64::try_from(ago.as_millis()).unwrap();
        let attempt =
            WatchedAttempt { attempt: self.attempt, host_lost_seconds: Some(20), stop_grace_seconds: 2 };
        self.contact.note(sent, vec![attempt]).unwrap();
    }

    async fn runs(&self) -> bool {
        matches!(self.engine.inspect(&self.worker).await, Observation::Running { .. })
    }
}

fn plan(instance: InstanceId, attempt_id: AttemptId) -> ContainerPlan {
    ContainerPlan {
        name: ContainerName::for_attempt(attempt_id, Fence(1)),
        labels: Labels {
            instance,
            purpose: Purpose::Worker(WorkerLabels {
                run_id: Uuid::now_v7().into(),
                run_job_id: Uuid::now_v7().into(),
                attempt_id,
                attempt: 1,
                task_key: "log_triage".into(),
            }),
        },
        image: SimulatedRuntime::builtin_image(),
        command: Vec::new(),
        env: BTreeMap::from([("CYBERBRAIN_SIMULATE".into(), "run_ms=600000".into())]),
        resources: Resources { cpu_millis: 500, memory_mib: 48, shm_mib: 8, pids: 24 },
        gpus: Vec::new(),
        mounts: Mounts::default(),
        user: User::NONROOT,
        network: Network::None,
        stop_grace: Duration::from_secs(2),
    }
}

/// The worker's time is up then: 15 s is the least there is.
const AGO: Duration = Duration::from_secs(16);

#[tokio::test]
async fn contact_keeps_a_worker() {
    let host = Host::new().await;
    let records = host.records();
    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.note(Duration::from_secs(5));
    watchman.look().await;
    assert!(watchman.stops.len() == 0 && host.runs().await);
}

#[tokio::test]
async fn silence_stops_a_worker() {
    let host = Host::new().await;
    let records = host.records();
    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.note(AGO);
    watchman.look().await;
    wait_until("the worker is stopped", LIMIT, async || !host.runs().await).await;
    let left = host.engine.inspect(&host.worker).await;
    assert!(matches!(left, Observation::Exited(_)), "it is not removed: {left:?}");
}

#[tokio::test]
async fn contact_that_returns_ends_the_stopping() {
    let host = Host::new().await;
    let records = host.records();
    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.note(AGO);
    host.simulated.faults().fail_next(EngineCall::List, Fault::Timeout, FaultEffect::None);
    host.simulated.faults().fail_next(EngineCall::List, Fault::Timeout, FaultEffect::None);
    watchman.look().await;
    host.note(Duration::ZERO);
    watchman.look().await;
    assert!(watchman.stops.len() == 0 && watchman.silent.is_empty() && host.runs().await);
}

#[tokio::test]
async fn a_stop_that_fails_is_followed_by_a_kill_and_by_another_stop() {
    let host = Host::new().await;
    let records = host.records();
    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.note(AGO);
    let faults = host.simulated.faults();
    faults.fail_next(EngineCall::Stop, Fault::Timeout, FaultEffect::None);
    faults.fail_next(EngineCall::Kill, Fault::Unreachable, FaultEffect::None);
    watchman.look().await;
    wait_until("both have failed", LIMIT, async || watchman.stops.len() == 0).await;
    assert!(host.runs().await);
    watchman.look().await;
    wait_until("the second stop works", LIMIT, async || !host.runs().await).await;
}

#[tokio::test]
async fn a_worker_that_is_being_stopped_is_not_stopped_twice() {
    let host = Host::new().await;
    let records = host.records();
    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.note(AGO);
    host.simulated.faults().delay(EngineCall::Stop, Duration::from_secs(60));
    for _ in 0..3 {
        watchman.look().await;
        assert_eq!(watchman.stops.len(), 1);
    }
}

#[tokio::test]
async fn a_guard_is_present_while_it_lives_and_its_engine_answers() {
    let host = Host::new().await;
    let records = host.records();
    let seen = || host.contact.guard().unwrap();
    host.note(Duration::ZERO);
    assert_eq!(seen(), GuardState::Absent, "no guard");
    let lock::Taken::Ours(held) = lock::take(records.directory()).await.unwrap() else { panic!("held") };
    let pid = Some(std::process::id());
    let second = lock::take(records.directory()).await.unwrap();
    assert!(matches!(second, lock::Taken::Theirs { pid: told } if told == pid), "{second:?}");
    assert_eq!(seen(), GuardState::Absent, "its engine has not answered");

    let mut watchman = Watchman::new(&records, &host.engine, host.identity.clone());
    host.simulated.faults().cut();
    watchman.look().await;
    assert_eq!(seen(), GuardState::Absent, "the engine is away");
    host.simulated.faults().mend();
    watchman.look().await;
    assert_eq!(seen(), GuardState::Present);

    let other = EngineIdentity { engine_id: "another".into(), ..host.identity.clone() };
    assert_eq!(
        presence(host.path(), &EngineOnBoot::from(&other)).unwrap(),
        GuardState::Absent,
        "another engine"
    );
    let mut sign = records.read_guard().unwrap().unwrap();
    for (what, age_ms, expected) in
        [("14 s old", 14_000, GuardState::Present), ("older", 15_001, GuardState::Absent)]
    {
        sign.seen_at_boottime_ms = boot_clock::now_ms() - age_ms;
        records.write_guard(&sign).unwrap();
        assert_eq!(seen(), expected, "{what}");
    }
    sign.seen_at_boottime_ms = boot_clock::now_ms() + 60_000;
    records.write_guard(&sign).unwrap();
    assert_eq!(seen(), GuardState::Absent, "later than now");

    watchman.looked = None;
    watchman.look().await;
    assert_eq!(seen(), GuardState::Present);
    drop(held);
    assert_eq!(seen(), GuardState::Absent, "the guard is gone");
}

#[tokio::test]
async fn a_launcher_whose_record_is_not_written_reports_no_guard() {
    let host = Host::new().await;
    let records = host.records();
    let _held = lock::take(records.directory()).await.unwrap();
    Watchman::new(&records, &host.engine, host.identity.clone()).look().await;
    assert_eq!(host.contact.guard().unwrap(), GuardState::Absent, "nothing written yet");
    host.contact.note_attempts(Vec::new()).unwrap();
    assert_eq!(host.contact.guard().unwrap(), GuardState::Absent, "no contact yet");
    host.note(Duration::ZERO);
    assert_eq!(host.contact.guard().unwrap(), GuardState::Present);

    // In the way of the next record.
    let path = fs::read_dir(records.directory()).unwrap().map(|entry| entry.unwrap().path());
    let record = path.into_iter().find(|path| path.to_str().unwrap().contains("contact-")).unwrap();
    fs::remove_file(&record).unwrap();
    fs::create_dir_all(record.join("x")).unwrap();
    assert!(host.contact.note(boot_clock::now_ms(), Vec::new()).is_err());
    assert_eq!(host.contact.guard().unwrap(), GuardState::Absent);
}

#[tokio::test]
async fn attempts_are_noted_without_a_new_contact() {
    let host = Host::new().await;
    host.contact.note(1_000, Vec::new()).unwrap();
    // An exchange that was sent before but answered later.
    host.contact.note(500, Vec::new()).unwrap();
    let attempt = WatchedAttempt { attempt: host.attempt, host_lost_seconds: None, stop_grace_seconds: 1 };
    host.contact.note_attempts(vec![attempt]).unwrap();
    let read = host.records().read_contacts().unwrap();
    let record = read.values().next().unwrap().as_ref().unwrap();
    assert_eq!((record.sent_at_boottime_ms, record.attempts.as_slice()), (1_000, [attempt].as_slice()));
    host.contact.farewell().unwrap();
    host.contact.farewell().unwrap();
    assert!(host.records().read_contacts().unwrap().is_empty());
}

#[tokio::test]
async fn a_torn_record_is_seen_and_does_not_hide_others() {
    let host = Host::new().await;
    host.note(Duration::ZERO);
    fs::write(host.records().directory().join("contact-torn.json"), b"{\"instance\":").unwrap();
    fs::write(host.records().directory().join("other.json"), b"{").unwrap();
    let read = host.records().read_contacts().unwrap();
    let good: Vec<_> = read.values().map(Result::is_ok).collect();
    assert_eq!(good.iter().filter(|good| **good).count(), 1, "{read:?}");
    assert_eq!(good.len(), 2);
}
