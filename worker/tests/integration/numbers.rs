//! The numbers of a triage's report are those of its result and of its artifacts.

use cyberbrain_core::outcome::{MAX_FINDINGS, SeverityCounts};
use cyberbrain_worker::{Job, SampleKind};
use serde_json::Value;

use crate::staged::{Left, Worker, at};

/// The cells of every row of the table under this heading, without its head.
fn rows(report: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = report.split_once(&format!("\n## {heading}\n")).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let hidden = line.replace("\\|", "\u{1}");
            let cells = hidden.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('\u{1}', "|")).collect()
        })
        .collect()
}

fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

fn triage() -> (Worker, Left) {
    let mut worker = Worker::of("log_triage");
    worker.sample("web", SampleKind::Web, 5, 2_000);
    worker.sample("db", SampleKind::Database, 5, 2_000);
    worker.edit_index(|index| {
        index.sources.iter_mut().for_each(|source| source.since = Some(at("2026-11-01T09:00:00Z")));
    });
    let left = worker.run(Job::LogTriage).unwrap();
    (worker, left)
}

#[test]
fn every_number_of_the_tables_is_that_of_result_and_artifact() {
    let (worker, left) = triage();
    let triage = left.triage();
    let findings: Value = serde_json::from_str(&worker.artifact("findings.json")).unwrap();
    let templates: Value = serde_json::from_str(&worker.artifact("templates.json")).unwrap();

    let told = rows(&left.report, "Findings");
    assert_eq!(told.len(), triage.findings.len());
    assert_eq!(list(&findings, "findings").len() as u64, told.len() as u64 + triage.findings_left_out);
    assert!(told.len() <= MAX_FINDINGS && told.len() > 5);
    for (at, (row, (result, listed))) in
        told.iter().zip(triage.findings.iter().zip(list(&findings, "findings"))).enumerate()
    {
        assert_eq!(number(&row[0]), at as u64 + 1);
        assert_eq!(number(&row[3]), result.count, "{row:?}");
        assert_eq!(row[4], result.severity.to_string());
        assert_eq!(row[2], format!("`{}`", result.container));
        assert_eq!(listed["number"], at + 1);
        // Two hours were read.
        assert_eq!(listed["per_hour"].as_f64().unwrap(), result.count as f64 / 2.0);
        for (name, value) in serde_json::to_value(result).unwrap().as_object().unwrap() {
            if name != "subject" {
                assert_eq!(listed[name], *value, "{name} of {row:?}");
            }
        }
        let messages: u64 =
            list(listed, "messages").iter().map(|message| message["count"].as_u64().unwrap()).sum();
        assert!(messages == 0 || messages == result.count, "{listed}");
        if let Some(message) = list(listed, "messages").first() {
            assert_eq!(message["id"].as_str(), result.subject.as_deref());
            assert!(list(&templates, "templates").iter().any(|template| template["id"] == message["id"]));
        }
    }

    let told = rows(&left.report, "Containers");
    assert_eq!(told.len(), triage.sources.len());
    for (row, source) in told.iter().zip(&triage.sources) {
        let SeverityCounts { fatal, error, warning, info, debug, unstated } = source.severities;
        assert_eq!(row[0], format!("`{}`", source.container));
        let counts = [source.lines, fatal, error, warning, info, debug, unstated, source.stack_traces];
        let cells = [3, 5, 6, 7, 8, 9, 10, 11].map(|column| number(&row[column]));
        assert_eq!(cells, counts, "{row:?}");
    }

    let told = rows(&left.report, "Stack traces");
    assert_eq!(told.len(), triage.stack_traces.len());
    let told: Vec<u64> = told.iter().map(|row| number(&row[0])).collect();
    assert_eq!(told, triage.stack_traces.iter().map(|trace| trace.count).collect::<Vec<_>>());

    let told = rows(&left.report, "Messages");
    assert!(told.len() > 5);
    for (row, (result, listed)) in told.iter().zip(triage.templates.iter().zip(list(&templates, "templates")))
    {
        assert_eq!((number(&row[0]), row[1].as_str()), (result.count, result.severity.as_str()));
        assert_eq!(listed["count"], result.count);
        assert_eq!(listed["id"], result.id);
    }
    let entries: u64 = triage.templates.iter().map(|template| template.count).sum();
    assert_eq!(entries + triage.untemplated_entries, triage.entries);
}

#[test]
fn no_planted_secret_is_in_the_findings() {
    let (worker, _) = triage();
    let findings = worker.artifact("findings.json");
    for secret in cyberbrain_worker::PLANTED_SECRETS {
        assert!(!findings.contains(secret), "{secret:?}");
    }
}
