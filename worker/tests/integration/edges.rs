//! Odd input: nothing, nonsense, too much.

use std::fmt::Write as _;

use cyberbrain_core::outcome::{FindingKind, JobResult, Novelty, ProgressUnit, Severity};
use cyberbrain_worker::{Error, Job, SampleKind};
use proptest::prelude::*;

use crate::staged::Worker;

#[test]
fn no_logs_at_all_is_a_success_that_says_so() {
    let left = Worker::of("log_triage").run(Job::LogTriage).unwrap();
    assert_eq!((left.triage().lines, left.triage().findings.len()), (0, 0));
    assert!(left.report.contains("No logs were staged"), "{}", left.report);
}

#[test]
fn an_empty_log_is_a_container_without_lines() {
    let mut worker = Worker::of("log_triage");
    worker.log("quiet", b"");
    let left = worker.run(Job::LogTriage).unwrap();
    assert_eq!((left.triage().sources.len(), left.triage().lines), (1, 0));
    assert!(left.report.contains("Nothing that needs attention"), "{}", left.report);
}

#[test]
fn malformed_lines_and_invalid_utf8_are_counted_and_read_all_the_same() {
    let mut worker = Worker::of("log_triage");
    let mut log = b"2026-11-01T10:00:00Z stdout INFO fine\n".to_vec();
    log.extend(b"ERROR no time in front\n\xff\xfe\x00\x01 junk\n2026-11-01T10:00:00Z nowhere x\n\n\n");
    log.extend(b"2026-11-01T10:00:01Z stderr ERROR caf\xe9 broke \x1b[31mred\x1b[0m\nlast without end");
    worker.log("odd", &log);
    let left = worker.run(Job::LogTriage).unwrap();
    let triage = left.triage();
    assert_eq!((triage.lines, triage.malformed_lines, triage.bytes), (8, 6, log.len() as u64));
    assert_eq!((triage.severities.error, triage.severities.info), (2, 1));
    let errors: Vec<_> =
        triage.findings.iter().filter(|finding| finding.kind == FindingKind::Errors).collect();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().any(|finding| finding.first_seen.is_none()), "a line without a time has none");
    assert!(left.report.contains("6 lines had no readable time"), "{}", left.report);
    assert!(left.report.contains("caf\u{fffd} broke red"), "{}", left.report);
}

#[test]
fn a_huge_line_is_cut_and_the_next_one_is_read() {
    let mut worker = Worker::of("log_triage");
    let huge = "x".repeat(1024 * 1024);
    worker.lines("huge", &[&format!("ERROR {huge}"), "ERROR after it"]);
    let left = worker.run(Job::LogTriage).unwrap();
    assert_eq!((left.triage().lines, left.triage().cut_lines, left.triage().severities.error), (2, 1, 2));
    assert!(left.report.len() < 16_384, "{} bytes of report", left.report.len());
    assert!(worker.artifact("templates.json").len() < 8_192);
    assert!(left.report.contains("1 line was too long and only read in part."), "{}", left.report);
}

#[test]
fn a_log_that_was_not_staged_or_lies_elsewhere_is_an_error() {
    let mut worker = Worker::of("log_triage");
    worker.lines("web", &["INFO a"]);
    worker.edit_index(|index| index.sources[0].file = "gone.log".into());
    let error = worker.run(Job::LogTriage).unwrap_err();
    assert!(matches!(&error, Error::Input { path, .. } if path.ends_with("logs/gone.log")), "{error:?}");
    for file in ["../job.json", "/etc/passwd", "a/b", "..", ".", "", "x/"] {
        worker.edit_index(|index| index.sources[0].file = file.into());
        let error = worker.run(Job::LogTriage).unwrap_err();
        assert!(matches!(error, Error::InputName { .. }), "{file:?}: {error:?}");
    }
    assert!(!worker.out("result.json").exists(), "no result of a failed job");
}

#[test]
fn staged_json_of_another_form_is_an_error_that_names_the_file() {
    let worker = Worker::of("log_triage");
    worker.stage("logs/index.json", &serde_json::json!({"sources": 7}));
    let error = worker.execute(Job::LogTriage).unwrap_err();
    assert!(
        matches!(&error, Error::InputForm { path, .. } if path.ends_with("logs/index.json")),
        "{error:?}"
    );
}

#[test]
fn what_is_new_is_marked_and_what_is_known_is_not() {
    let mut before = Worker::of("log_triage");
    before.lines("web", &["INFO user alice logged in", "ERROR queue is stuck", "INFO user bob logged in"]);
    let before = before.run(Job::LogTriage).unwrap();

    let mut worker = Worker::of("log_triage");
    let trace = ["Traceback (most recent call last):", "  File \"a.py\", line 1, in f", "KeyError: 'k'"];
    worker.lines(
        "web",
        &[&["INFO user carol logged in", "ERROR queue is stuck", "INFO backup finished well"], &trace[..]]
            .concat(),
    );
    worker.previous(&before.result);
    let left = worker.run(Job::LogTriage).unwrap();
    let novelty = |kind: FindingKind| {
        left.triage().findings.iter().find(|finding| finding.kind == kind).unwrap().novelty
    };
    assert_eq!(novelty(FindingKind::Errors), Novelty::Known);
    assert_eq!(novelty(FindingKind::StackTrace), Novelty::New);
    let new: Vec<_> =
        left.triage().findings.iter().filter(|finding| finding.kind == FindingKind::NewMessage).collect();
    assert_eq!(new.len(), 1, "only the backup: carol is the same message as alice and bob");
    assert!(left.report.contains("`backup finished well`"), "{}", left.report);
    assert!(left.report.contains("2 new kinds of message"), "{}", left.report);
}

#[test]
fn an_earlier_result_that_was_cut_short_calls_nothing_new_that_it_may_have_had() {
    let mut worker = Worker::of("log_triage");
    worker.lines(
        "web",
        &["INFO a plain thing happened", "ERROR a bad thing happened", "FATAL the worst thing happened"],
    );
    let mut before = Worker::of("log_triage");
    before.lines("web", &["ERROR something else entirely"]);
    let mut before = before.run(Job::LogTriage).unwrap().result;
    let JobResult::LogTriage(triage) = &mut before else { panic!("{before:?}") };
    triage.templates_left_out = 1;
    worker.previous(&before);
    let left = worker.run(Job::LogTriage).unwrap();
    let told: Vec<_> =
        left.triage().templates.iter().map(|template| (template.severity, template.novelty)).collect();
    // Errors were the last that it listed: it may have left out other errors, but nothing fatal.
    assert_eq!(
        told,
        [
            (Severity::Fatal, Novelty::New),
            (Severity::Error, Novelty::Uncompared),
            (Severity::Info, Novelty::Uncompared)
        ]
    );
}

#[test]
fn progress_counts_the_bytes_that_were_read() {
    let mut worker = Worker::of("log_triage");
    worker.sample("web", SampleKind::Web, 1, 3_000);
    let progress = worker.run(Job::LogTriage).unwrap().progress();
    let reading: Vec<_> = progress.iter().filter(|told| told.stage == "reading logs").collect();
    let total = reading[0].total.unwrap();
    assert!(
        total > 300_000
            && reading.iter().all(|told| told.unit == ProgressUnit::Bytes && told.total == Some(total))
    );
    assert_eq!((reading[0].done, reading[reading.len() - 1].done), (0, total));
    assert!(reading.is_sorted_by_key(|told| told.done));
    assert_eq!(progress.last().map(|told| (told.stage.as_str(), told.percent)), Some(("done", Some(100.0))));
}

#[test]
fn many_containers_with_long_names_stay_within_the_limits() {
    let mut worker = Worker::of("log_triage");
    for n in 0..300 {
        worker.lines(
            &format!("{n}-{}", "😀\u{202e}\"".repeat(300)),
            &["ERROR it broke", "Out of memory: Killed process 7 (x)"],
        );
    }
    worker.edit_index(|index| index.sources.iter_mut().for_each(|source| source.host = "😀".repeat(300)));
    let triage = worker.run(Job::LogTriage).unwrap();
    let triage = triage.triage();
    assert!(triage.sources.len() < 150, "the names are too long for the usual number of sources");
    assert_eq!(triage.sources.len() as u64 + triage.sources_left_out, 300);
    assert_eq!(triage.findings.len() as u64 + triage.findings_left_out, 600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `Worker::run` checks every limit; this feeds it anything.
    #[test]
    fn any_log_leaves_an_outcome_within_the_limits(
        lines in proptest::collection::vec(prop_oneof![
            "\\PC{0,200}",
            "[a-z]{1,9} [a-z]{1,9} [a-z0-9]{1,9} (ERROR|FATAL:|timed out|No space left) [a-z ]{0,60}",
            Just("Traceback (most recent call last):".to_owned()),
            "  (at|File) [a-zA-Z.]{1,20}\\([A-Z]{1,9}\\.java:[0-9]{1,3}\\)",
            "[A-Za-z.]{1,300}(Error|Exception): \\PC{0,40}",
            "(panic: |goroutine 1 \\[running\\]:|thread 'main' panicked at |\\{\"level\":\"error\",\"msg\":\")\\PC{0,40}",
        ], 0..80),
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        name in "\\PC{0,300}",
    ) {
        let mut worker = Worker::of("log_triage");
        let mut log = String::new();
        for (second, line) in lines.iter().enumerate() {
            writeln!(log, "2026-11-01T10:00:{:02}Z stdout {line}", second % 60).unwrap();
        }
        worker.log(&name, log.as_bytes());
        worker.log("bytes", &bytes);
        let first = worker.run(Job::LogTriage).unwrap();
        let entries: u64 = first.triage().entries;
        prop_assert_eq!(entries, first.triage().severities.total());
        worker.previous(&first.result);
        let second = worker.run(Job::LogTriage).unwrap();
        prop_assert!(second.triage().templates.iter().all(|template| template.novelty == Novelty::Known));
    }
}
