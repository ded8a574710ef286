//! What a triage says of what the engine knows, of what it could not read, and of what has become worse.

use cyberbrain_core::{
    outcome::{Finding, FindingKind, JobResult, Novelty, Severity},
    staging::{ContainerState, LastExit, LeftOut, LogReading, Window},
};
use cyberbrain_worker::Job;

use crate::staged::{Left, Worker, at};

fn exit(time: &str, code: i64, out_of_memory: bool) -> Option<LastExit> {
    Some(LastExit { at: at(time), code, out_of_memory })
}

/// A container that said one line and fared so.
fn fared(restart_count: u32, last_exit: Option<LastExit>) -> Worker {
    let mut worker = Worker::of("log_triage");
    worker.lines("web", &["INFO starting"]);
    worker.edit_index(|index| {
        let source = &mut index.sources[0];
        source.since = Some(at("2026-11-01T10:00:00Z"));
        source.state = Some(ContainerState::Restarting);
        (source.restart_count, source.last_exit) = (restart_count, last_exit);
    });
    worker
}

fn of_kind(left: &Left, kind: FindingKind) -> Vec<Finding> {
    left.triage().findings.iter().filter(|finding| finding.kind == kind).cloned().collect()
}

#[test]
fn a_container_that_is_started_again_and_again_is_a_crash_loop() {
    let inside = exit("2026-11-01T10:30:00Z", 1, false);
    for (restarts, last, expected) in [
        (7, inside, Some(7)),
        (3, inside, Some(3)),
        (2, inside, None),
        (0, inside, None),
        (7, None, None),
        (7, exit("2026-11-01T09:59:59Z", 1, false), None),
        (7, exit("2026-11-01T11:00:00Z", 1, false), None),
    ] {
        let left = fared(restarts, last).run(Job::LogTriage).unwrap();
        let found = of_kind(&left, FindingKind::CrashLoop);
        assert_eq!(found.first().map(|finding| finding.count), expected, "{restarts} {last:?}");
        assert_eq!(left.triage().sources[0].restarts, restarts);
        if let Some(count) = expected {
            assert_eq!((found[0].severity, found[0].novelty), (Severity::Fatal, Novelty::Uncompared));
            assert_eq!(left.triage().findings[0].kind, FindingKind::CrashLoop, "it comes first");
            for told in [
                "### 1. Crash loop in `web`".to_owned(),
                format!("started again {count} times"),
                "with exit code 1".to_owned(),
            ] {
                assert!(left.report.contains(&told), "{told} in {}", left.report);
            }
        }
    }
}

#[test]
fn restarts_count_since_the_compared_result() {
    let inside = exit("2026-11-01T10:30:00Z", 1, false);
    let before = fared(4, inside).run(Job::LogTriage).unwrap().result;
    for (restarts, expected) in [
        (4, None),
        (6, None),
        (7, Some((3, Novelty::Known))),
        // Made anew since: it counts from zero again.
        (3, Some((3, Novelty::Known))),
        (1, None),
    ] {
        let worker = fared(restarts, inside);
        worker.previous(&before);
        let found = of_kind(&worker.run(Job::LogTriage).unwrap(), FindingKind::CrashLoop);
        assert_eq!(found.first().map(|finding| (finding.count, finding.novelty)), expected, "{restarts}");
    }
    let quiet = fared(0, None).run(Job::LogTriage).unwrap().result;
    let worker = fared(5, inside);
    worker.previous(&quiet);
    assert_eq!(
        of_kind(&worker.run(Job::LogTriage).unwrap(), FindingKind::CrashLoop)[0].novelty,
        Novelty::New
    );
}

#[test]
fn a_container_that_the_kernel_killed_for_its_memory_is_found_without_a_word_in_its_log() {
    let left = fared(0, exit("2026-11-01T10:30:00Z", 137, true)).run(Job::LogTriage).unwrap();
    let found = of_kind(&left, FindingKind::OutOfMemory);
    assert_eq!((found.len(), found[0].count, found[0].first_seen), (1, 1, Some(at("2026-11-01T10:30:00Z"))));
    assert!(left.report.contains("with exit code 137, out of memory"), "{}", left.report);
    let left = fared(0, exit("2026-11-01T09:00:00Z", 137, true)).run(Job::LogTriage).unwrap();
    assert_eq!(of_kind(&left, FindingKind::OutOfMemory), [], "that was told by the window before");
}

/// So many of this line, in the window of an hour.
fn often(times: usize, line: &str) -> Worker {
    let mut worker = Worker::of("log_triage");
    worker.lines("web", &vec![line; times]);
    worker
}

#[test]
fn what_has_become_far_more_frequent_is_rising() {
    let error = "ERROR cache miss for user 17";
    let before = often(10, error).run(Job::LogTriage).unwrap().result;
    for (times, expected) in [(10, Novelty::Known), (19, Novelty::Known), (40, Novelty::Rising)] {
        let worker = often(times, error);
        worker.previous(&before);
        let left = worker.run(Job::LogTriage).unwrap();
        assert_eq!(left.triage().templates[0].novelty, expected, "{times}");
        let found = of_kind(&left, FindingKind::Errors);
        assert_eq!((found[0].novelty, found[0].count), (expected, times as u64));
        assert_eq!(
            left.report.contains("far more often than at the last success"),
            expected == Novelty::Rising
        );
    }
    // The same number in a sixth of the time.
    let JobResult::LogTriage(mut triage) = before else { panic!() };
    triage.window = Some(Window { from: at("2026-11-01T04:00:00Z"), to: at("2026-11-01T10:00:00Z") });
    triage.templates[0].count = 20;
    let worker = often(20, error);
    worker.previous(&JobResult::LogTriage(triage.clone()));
    assert_eq!(worker.run(Job::LogTriage).unwrap().triage().templates[0].novelty, Novelty::Rising);
    triage.window = None;
    let worker = often(20, error);
    worker.previous(&JobResult::LogTriage(triage));
    let known = worker.run(Job::LogTriage).unwrap();
    assert_eq!(known.triage().templates[0].novelty, Novelty::Known, "of what time nobody knows");
}

#[test]
fn a_rising_warning_is_a_finding_and_rising_traffic_is_none() {
    for (line, expected) in [("WARN queue is 90 percent full", 1), ("INFO served 5 requests", 0)] {
        let before = often(10, line).run(Job::LogTriage).unwrap().result;
        let worker = often(50, line);
        worker.previous(&before);
        let left = worker.run(Job::LogTriage).unwrap();
        assert_eq!(of_kind(&left, FindingKind::RisingMessage).len(), expected, "{line}");
    }
}

#[test]
fn what_is_down_comes_before_what_fails_and_that_before_what_is_unusual() {
    let usual = ["WARN queue is 90 percent full"; 10];
    let before = {
        let mut worker = Worker::of("log_triage");
        worker.lines("web", &usual);
        worker.run(Job::LogTriage).unwrap().result
    };
    let mut lines = vec!["WARN queue is 90 percent full"; 60];
    lines.extend(["INFO something that was never said"; 500]);
    lines.extend(["ERROR upstream timed out after 30 s"; 40]);
    lines.extend(["WARN Failed password for root from 10.0.0.9"; 4]);
    lines.extend(["FATAL configuration is not valid"; 2]);
    lines.extend(["ERROR write failed: No space left on device"; 3]);
    lines.push("Out of memory: Killed process 17 (web)");
    let mut worker = Worker::of("log_triage");
    worker.lines("web", &lines);
    worker.edit_index(|index| {
        let source = &mut index.sources[0];
        source.since = Some(at("2026-11-01T10:00:00Z"));
        (source.restart_count, source.last_exit) = (5, exit("2026-11-01T10:30:00Z", 1, false));
    });
    worker.previous(&before);
    let left = worker.run(Job::LogTriage).unwrap();
    let kinds: Vec<FindingKind> = left.triage().findings.iter().map(|finding| finding.kind).collect();
    let expected = [
        FindingKind::CrashLoop,
        FindingKind::DiskFull,
        FindingKind::OutOfMemory,
        FindingKind::ErrorBurst,
        FindingKind::Errors,
        FindingKind::Timeout,
        FindingKind::AuthFailure,
        FindingKind::NewMessage,
        FindingKind::RisingMessage,
    ];
    assert_eq!(kinds, expected, "{:#?}", left.triage().findings);
}

#[test]
fn what_could_not_be_read_is_told() {
    let mut worker = Worker::of("log_triage");
    for name in ["whole", "broken", "mute"] {
        worker.lines(name, &["INFO a"]);
    }
    worker.edit_index(|index| {
        index.sources[1].reading = LogReading::BrokenOff;
        index.sources[2].reading = LogReading::Unreadable;
        (index.sources[0].dropped_bytes, index.sources[0].dropped_lines) = (2_048, 31);
        index.left_out = LeftOut { count: 3, names: vec!["x1".into(), "x2".into()] };
    });
    let left = worker.run(Job::LogTriage).unwrap();
    for told in [
        "2.0 KiB of logs (31 lines), the oldest ones, were left out",
        "The log of `broken` could not be read to its end",
        "The log of `mute` could not be read: the engine gives out no log",
        "3 containers were not read, for want of room or time: `x1`, `x2` and 1 other.",
    ] {
        assert!(left.report.contains(told), "{told} in {}", left.report);
    }
    let triage = left.triage();
    assert_eq!(triage.containers_left_out, 3);
    let of = |name: &str| triage.sources.iter().find(|source| source.container == name).unwrap();
    assert_eq!((of("whole").dropped_lines, of("broken").reading), (31, LogReading::BrokenOff));
}
