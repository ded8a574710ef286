use cyberbrain_core::{ids::Fence, watch::guard::stop_after};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::runtime::{ContainerId, RuntimeKind, WorkerLabels};

const SECOND: fn(u64) -> Duration = Duration::from_secs;

fn engine() -> EngineIdentity {
    EngineIdentity {
        kind: RuntimeKind::Docker,
        engine_id: "engine".into(),
        engine_version: "x".into(),
        machine_id: "machine".into(),
        boot_id: "boot".into(),
        cpus: 1,
        memory_mib: 1,
    }
}

fn attempt(id: u128, host_lost_seconds: Option<u32>, stop_grace_seconds: u32) -> WatchedAttempt {
    WatchedAttempt { attempt: Uuid::from_u128(id).into(), host_lost_seconds, stop_grace_seconds }
}

fn record(instance: u128, sent_s: u64, attempts: &[WatchedAttempt]) -> ContactRecord {
    ContactRecord {
        instance: Uuid::from_u128(instance).into(),
        boot_id: "boot".into(),
        engine_id: "engine".into(),
        sent_at_boottime_ms: sent_s * 1_000,
        attempts: attempts.to_vec(),
    }
}

fn known(records: impl IntoIterator<Item = ContactRecord>) -> Known {
    let named = |(n, record)| (PathBuf::from(format!("contact-{n}.json")), record);
    Known { records: records.into_iter().enumerate().map(named).collect(), broken: BTreeSet::new() }
}

fn view(silence: Duration, attempts: &[WatchedAttempt]) -> InstanceView {
    let attempts = attempts.iter().map(|attempt| (attempt.attempt, *attempt)).collect();
    InstanceView { id: Uuid::from_u128(1).into(), silence, attempts }
}

fn worker(attempt: u128, state: ContainerState) -> Listed {
    let attempt_id = Uuid::from_u128(attempt).into();
    Listed {
        name: ContainerName::for_attempt(attempt_id, Fence(1)),
        id: ContainerId::new("x"),
        labels: Some(Labels {
            instance: Uuid::from_u128(1).into(),
            purpose: Purpose::Worker(WorkerLabels {
                run_id: Uuid::nil().into(),
                run_job_id: Uuid::nil().into(),
                attempt_id,
                attempt: 1,
                task_key: "x".into(),
            }),
        }),
        state,
        created_at: None,
        image_id: String::new(),
    }
}

fn graces(view: &InstanceView, containers: &[Listed]) -> Vec<u64> {
    view.due(containers).iter().map(|stop| stop.grace.as_secs()).collect()
}

#[test]
fn a_worker_is_stopped_by_its_own_limits() {
    let running = [worker(7, ContainerState::Running)];
    for (what, attempts, silence, expected) in [
        ("300 s, grace 10 s: a little early", vec![attempt(7, Some(300), 10)], 224, vec![]),
        ("three quarters of 300 s", vec![attempt(7, Some(300), 10)], 225, vec![10]),
        ("three quarters of 300 s would be too late", vec![attempt(7, Some(300), 100)], 184, vec![]),
        ("300 s less 100 s less 15 s", vec![attempt(7, Some(300), 100)], 185, vec![100]),
        ("late: the grace is cut", vec![attempt(7, Some(300), 100)], 250, vec![35]),
        ("far too late: no grace", vec![attempt(7, Some(300), 100)], 4_000, vec![0]),
        ("a limit below the least one", vec![attempt(7, Some(1), 10)], 14, vec![]),
        ("a limit below the least one", vec![attempt(7, Some(1), 10)], 15, vec![10]),
        ("the work waits for its host", vec![attempt(7, None, 10)], 4_000, vec![]),
        ("taken after the last record", vec![attempt(8, None, 10)], 14, vec![]),
        ("taken after the last record", vec![attempt(8, None, 10)], 15, vec![10]),
    ] {
        assert_eq!(graces(&view(SECOND(silence), &attempts), &running), expected, "{what} ({silence} s)");
    }
}

#[test]
fn only_what_runs_and_works_is_stopped() {
    let gone = view(SECOND(4_000), &[]);
    for (state, expected) in [
        (ContainerState::Created, 0),
        (ContainerState::Running, 1),
        (ContainerState::Paused, 1),
        (ContainerState::Restarting, 1),
        (ContainerState::Removing, 0),
        (ContainerState::Exited, 0),
        (ContainerState::Dead, 0),
    ] {
        assert_eq!(gone.due(&[worker(7, state)]).len(), expected, "{state:?}");
    }
    let mut helper = worker(7, ContainerState::Running);
    helper.labels.as_mut().unwrap().purpose = Purpose::Helper { role: "sample".into() };
    let unlabelled = Listed { labels: None, ..worker(7, ContainerState::Running) };
    assert!(gone.due(&[helper, unlabelled]).is_empty());
}

#[test]
fn who_has_the_least_time_left_comes_first() {
    let attempts = [attempt(1, Some(300), 60), attempt(2, Some(300), 5), attempt(3, Some(300), 30)];
    let workers = [1, 2, 3].map(|id| worker(id, ContainerState::Running));
    assert_eq!(graces(&view(SECOND(230), &attempts), &workers), [5, 30, 55]);
}

#[test]
fn the_newest_contact_of_an_instance_counts() {
    let other_engine = ContactRecord { engine_id: "another".into(), ..record(3, 100, &[]) };
    let other_boot = ContactRecord { boot_id: "another".into(), ..record(3, 100, &[]) };
    let seven = |limit| attempt(7, Some(limit), 10);
    let known = known([
        record(1, 40, &[seven(100), attempt(8, None, 10)]),
        record(1, 10, &[seven(500), attempt(9, None, 10)]),
        record(2, 5, &[]),
        other_engine,
        other_boot,
    ]);
    let instances = known.instances(&engine(), 100_000);
    let silences: Vec<_> = instances.iter().map(|i| (i.silence.as_secs(), i.attempts.len())).collect();
    assert_eq!(silences, [(60, 3), (95, 0)]);
    assert_eq!(instances[0].attempts[&Uuid::from_u128(7).into()], seven(100));
    assert!(instances.iter().all(InstanceView::is_silent));
    assert!(!known.instances(&engine(), 54_999)[0].is_silent());
    assert!(known.instances(&engine(), 55_000)[0].is_silent());
}

#[test]
fn what_can_not_be_read_leaves_what_was_known() {
    let path = || PathBuf::from("contact-x.json");
    let torn = || Err(io::Error::other("torn"));
    let mut known = Known::default();
    let silence = |known: &Known| known.instances(&engine(), 100_000).first().map(|i| i.silence.as_secs());
    for (what, read, news, seen) in [
        ("nothing to begin with", Some(torn()), 1, None),
        ("good", Some(Ok(record(1, 90, &[]))), 0, Some(10)),
        ("torn", Some(torn()), 1, Some(10)),
        ("torn still", Some(torn()), 0, Some(10)),
        ("good again", Some(Ok(record(1, 95, &[]))), 0, Some(5)),
        ("later than now", Some(Ok(record(1, 101, &[]))), 1, Some(5)),
        ("now", Some(Ok(record(1, 100, &[]))), 0, Some(0)),
        ("removed", None, 0, None),
    ] {
        let read = read.map(|record| (path(), record)).into_iter().collect();
        assert_eq!(known.refresh(read, "boot", 100_000).len(), news, "{what}");
        assert_eq!(silence(&known), seen, "{what}");
    }
}

#[test]
fn outdated_records_go() {
    let one = attempt(7, Some(300), 10);
    let other_boot = ContactRecord { boot_id: "another".into(), ..record(1, 9_999, &[one]) };
    let other_engine = ContactRecord { engine_id: "another".into(), ..record(1, 1, &[]) };
    let known = known([
        record(1, 9_990, &[]),    // 0: in contact
        record(1, 9_941, &[]),    // 1: empty for 59 s
        record(1, 9_940, &[]),    // 2: empty for 60 s
        record(1, 6_401, &[one]), // 3: something for 3,599 s
        record(1, 6_400, &[one]), // 4: something for 3,600 s
        record(2, 1, &[]),        // 5: the only one of its instance
        other_boot,               // 6
        other_engine,             // 7
    ]);
    let outdated = known.outdated(&engine(), 10_000_000);
    let names: Vec<_> = outdated.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["contact-2.json", "contact-4.json", "contact-6.json"]);
}

proptest! {
    /// Whatever the limits: looked at in time, a worker gets all its grace; looked at late, it is killed at once or
    /// still before the verdict less the margin.
    #[test]
    fn nothing_outlives_its_limit(limit in 0_u32..2_000, grace in 0_u32..1_000, late_ms in 0_u64..2_000_000) {
        let lost_after = SECOND(limit.into()).max(least_host_lost_after(SECOND(grace.into())));
        let first = stop_after(lost_after, SECOND(grace.into()));
        let attempts = [attempt(7, Some(limit), grace)];
        let running = [worker(7, ContainerState::Running)];
        let early = first - Duration::from_millis(1);
        prop_assert!(view(early, &attempts).due(&running).is_empty());
        prop_assert_eq!(graces(&view(first, &attempts), &running), [u64::from(grace)]);
        prop_assert!(view(first, &attempts).is_silent());
        let silence = first + Duration::from_millis(late_ms);
        let stop = &view(silence, &attempts).due(&running)[0];
        prop_assert!(stop.grace.is_zero() || silence + stop.grace <= lost_after - MARGIN);
    }
}
