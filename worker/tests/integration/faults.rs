//! Each fault that is planted in the sample logs is in the triage of them.

use std::collections::BTreeSet;

use cyberbrain_core::outcome::Novelty;
use cyberbrain_worker::{Job, PLANTED_FAULTS, PLANTED_SECRETS, SampleKind, SampleLog};

use crate::staged::{Left, Worker, start};

const fn container(kind: SampleKind) -> &'static str {
    match kind {
        SampleKind::Web => "web",
        SampleKind::Database => "db",
    }
}

fn triage(seed: u64) -> (Worker, Left) {
    let mut worker = Worker::of("log_triage");
    worker.sample("web", SampleKind::Web, seed, 2_000);
    worker.sample("db", SampleKind::Database, seed, 2_000);
    let left = worker.run(Job::LogTriage).unwrap();
    (worker, left)
}

#[test]
fn every_planted_fault_is_found_and_quoted() {
    for seed in [1, 2, 42] {
        let (_, left) = triage(seed);
        if let Ok(path) = std::env::var("CYBERBRAIN_KEEP_REPORT") {
            std::fs::write(path, &left.report).unwrap();
        }
        for planted in PLANTED_FAULTS {
            let found = left.triage().findings.iter().find(|finding| {
                finding.kind == planted.finding
                    && finding.container == container(planted.log)
                    && finding.count >= planted.entries
            });
            assert!(
                found.is_some(),
                "seed {seed}: {:?} is not among {:#?}",
                planted.name,
                left.triage().findings
            );
            assert!(
                left.report.contains(planted.evidence),
                "seed {seed}: the report does not quote {:?}",
                planted.evidence
            );
        }
    }
}

#[test]
fn no_planted_secret_is_in_what_the_triage_leaves() {
    let (worker, left) = triage(1);
    let result = worker.artifact("result.json");
    let templates = worker.artifact("templates.json");
    for secret in PLANTED_SECRETS {
        for (name, text) in
            [("report.md", &left.report), ("result.json", &result), ("templates.json", &templates)]
        {
            assert!(!text.contains(secret), "{secret:?} is in {name}");
        }
    }
}

#[test]
fn the_result_has_no_word_of_the_logs() {
    let (worker, left) = triage(1);
    let result = worker.artifact("result.json");
    for planted in PLANTED_FAULTS {
        assert!(!result.contains(planted.evidence), "{:?}", planted.evidence);
    }
    // All texts in it are ids, fingerprints and closed names; those of the containers come from staging.
    let names: BTreeSet<&str> =
        left.triage().sources.iter().map(|source| source.container.as_str()).collect();
    assert_eq!(names, ["db", "web"].into());
}

#[test]
fn the_same_input_gives_the_same_outcome() {
    let (first, one) = triage(7);
    let (second, other) = triage(7);
    assert_eq!(one.result, other.result);
    assert_eq!(one.report, other.report);
    assert_eq!(first.artifact("templates.json"), second.artifact("templates.json"));
    assert_ne!(one.report, triage(8).1.report);
}

#[test]
fn nothing_is_new_the_second_time() {
    let (_, first) = triage(1);
    assert!(first.triage().templates.iter().all(|template| template.novelty == Novelty::Uncompared));
    // Another day of the same services: other numbers, same programs.
    let mut worker = Worker::of("log_triage");
    worker.sample("web", SampleKind::Web, 2, 3_000);
    worker.sample("db", SampleKind::Database, 2, 3_000);
    worker.previous(&first.result);
    let second = worker.run(Job::LogTriage).unwrap();
    let new: Vec<_> =
        second.triage().templates.iter().filter(|template| template.novelty != Novelty::Known).collect();
    assert!(new.is_empty(), "{new:#?}\n{}", second.report);
    assert_eq!(second.triage().compared_with, Some("01938000-0000-7000-8000-00000000000f".parse().unwrap()));
}

#[test]
fn a_sample_log_has_the_lines_that_were_asked_for_and_every_fault_on_top() {
    let lines = |kind, lines| SampleLog::new(kind, 3, lines, start()).collect::<Vec<_>>();
    for kind in [SampleKind::Web, SampleKind::Database] {
        let (faults, all) = (lines(kind, 0), lines(kind, 500));
        assert!(all.len() - faults.len() >= 500, "{kind:?}");
        assert!(all.is_sorted_by_key(|line| line.at), "{kind:?}");
        assert!(all.iter().all(|line| !line.text.contains('\n')), "{kind:?}");
    }
    assert_eq!(lines(SampleKind::Web, 500).len() - lines(SampleKind::Web, 0).len(), 500);
}
