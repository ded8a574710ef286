use cyberbrain_core::ids::LauncherId;
use uuid::Uuid;

use super::*;
use crate::runtime::RuntimeKind;

fn identity() -> EngineIdentity {
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

fn note(instance: u128, boot: &str, contact_ms: u64, attempts: &[(u128, Option<u32>, u32)]) -> LauncherNote {
    LauncherNote {
        instance: Uuid::from_u128(instance).into(),
        boot_id: boot.into(),
        engine_id: "engine".into(),
        contact_ms,
        attempts: attempts
            .iter()
            .map(|&(id, host_lost_seconds, stop_grace_seconds)| WatchedAttempt {
                attempt: Uuid::from_u128(id).into(),
                host_lost_seconds,
                stop_grace_seconds,
            })
            .collect(),
    }
}

fn worker(attempt: u128, state: ContainerState) -> Listed {
    let attempt_id = Uuid::from_u128(attempt).into();
    Listed {
        name: ContainerName::for_attempt(attempt_id, cyberbrain_core::ids::Fence(1)),
        id: runtime::ContainerId::new("x"),
        labels: Some(Labels {
            instance: Uuid::from_u128(1).into(),
            purpose: Purpose::Worker(runtime::WorkerLabels {
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

#[test]
fn the_newest_contact_of_this_boot_counts() {
    let directory = tempfile::tempdir().unwrap();
    let notes = Notes::open(directory.path()).unwrap();
    let launcher = |n: u128| LauncherId::from(Uuid::from_u128(n));
    notes.write_launcher(launcher(1), &note(1, "boot", 10_000, &[(7, Some(100), 10)])).unwrap();
    notes.write_launcher(launcher(2), &note(1, "boot", 40_000, &[(8, Some(300), 10)])).unwrap();
    notes.write_launcher(launcher(3), &note(1, "an earlier boot", 90_000, &[])).unwrap();
    notes.write_launcher(launcher(4), &note(2, "boot", 5_000, &[])).unwrap();
    let found = silences(notes.read_launchers().unwrap(), &identity(), 100_000);
    let seen: Vec<_> = found.iter().map(|(_, silence, watched)| (silence.as_secs(), watched.len())).collect();
    assert_eq!(seen, [(60, 2), (95, 0)]);
    assert_eq!(notes.read_launchers().unwrap().len(), 3, "the note of an earlier boot is gone");
}

#[test]
fn a_worker_is_due_by_its_own_limits() {
    let watched =
        |limit| Watched::from([(Uuid::from_u128(7).into(), note(1, "b", 0, &[(7, limit, 10)]).attempts[0])]);
    let running = worker(7, ContainerState::Running);
    let second = Duration::from_secs;
    for (what, watched, silence, expected) in [
        ("three quarters of 100 s", watched(Some(100)), 75, Some(second(10))),
        ("a little earlier", watched(Some(100)), 74, None),
        ("the work waits for its host", watched(None), 10_000, None),
        ("unknown: 300 s", Watched::new(), 224, None),
        ("unknown: 300 s", Watched::new(), 225, Some(second(10))),
    ] {
        assert_eq!(due(&running, second(silence), &watched), expected, "{what}");
    }
    for state in [ContainerState::Created, ContainerState::Exited] {
        assert_eq!(due(&worker(7, state), second(10_000), &Watched::new()), None);
    }
    let helper = Listed { labels: None, ..running };
    assert_eq!(due(&helper, second(10_000), &Watched::new()), None);
}

#[test]
fn one_guard_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let notes = Notes::open(directory.path()).unwrap();
    assert!(!notes.is_locked().unwrap());
    let held = notes.lock().unwrap();
    assert!(held.is_some());
    assert!(notes.is_locked().unwrap());
    assert!(notes.lock().unwrap().is_none());
    drop(held);
    assert!(!notes.is_locked().unwrap());
}
