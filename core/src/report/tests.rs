use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    ids::GpuUuid,
    lifecycle::{FailureKind, RunJobStatus, RunProgress, RunStatus},
    outcome::{
        AskFailure, Cause, CustomResult, CustomValue, Finding, FindingKind, GpuReport, JobResult, LogTriage,
        ModelOpinion, Novelty, ServiceMap, Severity, SeverityCounts,
    },
    spec::DirectiveType,
    staging::{MapScope, Window},
};

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-11-23T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn run(jobs: Vec<JobFacts>) -> RunFacts {
    RunFacts {
        run: Uuid::from_u128(0xa1).into(),
        directive: DirectiveLine { directive_type: DirectiveType::D1, name: "Log triage".into(), version: 2 },
        requested_by: "key:admin".into(),
        tags: vec!["nightly".into()],
        created_at: at(0),
        started_at: Some(at(3)),
        finished_at: at(3_700),
        progress: jobs.iter().map(|job| job.status).collect(),
        tokens: Tokens { prompt: 120, completion: 30 },
        usage: vec![
            usage("llama", 2, 0, Tokens { prompt: 100, completion: 20 }),
            usage("evil|*m*", 1, 1, Tokens { prompt: 20, completion: 10 }),
        ],
        usage_left_out: 0,
        jobs,
    }
}

fn usage(model: &str, calls: u64, estimated_calls: u64, tokens: Tokens) -> UsageLine {
    UsageLine {
        job: "log_triage".into(),
        model: model.into(),
        calls,
        estimated_calls,
        prompt: tokens.prompt,
        completion: tokens.completion,
        total: tokens.total(),
    }
}

/// Panics unless the published schema says that a report may look like this one.
fn hold(report: &RunReport) {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let json = serde_json::to_value(report).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {json:#}");
}

fn job(ordinal: u32, status: RunJobStatus) -> JobFacts {
    JobFacts {
        id: Uuid::from_u128(u128::from(ordinal)).into(),
        ordinal,
        job: "log_triage".into(),
        name: format!("job_{ordinal}"),
        status,
        host: Some("alpha".into()),
        place: Some(Place::Cpu),
        selection_reason: Some("CPU: no GPU wanted".into()),
        attempts: 1,
        started_at: Some(at(4)),
        finished_at: Some(at(66)),
        headline: None,
        failure: match status {
            RunJobStatus::Failed => Some(FailureKind::NonzeroExit),
            RunJobStatus::Cancelled => Some(FailureKind::Cancelled),
            RunJobStatus::Pending
            | RunJobStatus::Assigned
            | RunJobStatus::Running
            | RunJobStatus::Success => None,
        },
        failure_detail: None,
        tokens: Tokens::default(),
        artifacts: Vec::new(),
        artifacts_left_out: 0,
    }
}

fn triage() -> JobResult {
    JobResult::LogTriage(LogTriage {
        window: None,
        compared_with: None,
        entries: 1_200,
        lines: 1_300,
        bytes: 90_000,
        malformed_lines: 0,
        cut_lines: 0,
        severities: SeverityCounts { fatal: 1, error: 6, warning: 1, info: 1_192, debug: 0, unstated: 0 },
        sources: Vec::new(),
        sources_left_out: 2,
        containers_left_out: 0,
        templates: Vec::new(),
        templates_left_out: 0,
        untemplated_entries: 0,
        stack_traces: Vec::new(),
        stack_traces_left_out: 0,
        findings: vec![Finding {
            kind: FindingKind::OutOfMemory,
            severity: Severity::Fatal,
            novelty: Novelty::New,
            host: "alpha".into(),
            container: "web|1".into(),
            count: 1,
            first_seen: Some(at(5)),
            last_seen: None,
            subject: None,
        }],
        findings_left_out: 0,
        model: ModelOpinion::default(),
    })
}

/// One Run with every kind of ending.
fn mixed() -> RunFacts {
    let gpu = GpuShare { uuid: GpuUuid::new("GPU-1"), reserved_mib: 8_192 };
    run(vec![
        JobFacts {
            headline: Some(Headline::of(&triage())),
            tokens: Tokens { prompt: 120, completion: 30 },
            place: Some(Place::Gpu { gpus: vec![gpu] }),
            selection_reason: Some("best score: GPU-1 (score 0.100)".into()),
            artifacts: vec![ArtifactLine {
                id: Uuid::from_u128(0xf1).into(),
                kind: "report".into(),
                name: "a](x)|b.md".into(),
                size_bytes: 77,
            }],
            artifacts_left_out: 3,
            ..job(1, RunJobStatus::Success)
        },
        JobFacts {
            failure_detail: Some("the worker ended with exit code 3".into()),
            attempts: 3,
            place: Some(Place::CpuFallback),
            ..job(2, RunJobStatus::Failed)
        },
        JobFacts {
            name: "<b>evil|*name*\n# x".into(),
            host: None,
            place: None,
            selection_reason: None,
            attempts: 0,
            started_at: None,
            ..job(3, RunJobStatus::Cancelled)
        },
    ])
}

#[test]
fn the_markdown_of_a_mixed_run() {
    let report = build(mixed()).unwrap();
    hold(&report);
    assert_eq!(markdown(&report), include_str!("golden.md"));
}

#[test]
fn the_json_is_read_back() {
    let report = build(mixed()).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<RunReport>(&text).unwrap(), report);
    assert!(text.contains(r#""headline":{"kind":"log_triage""#), "{text}");
    assert!(text.contains(r#""place":{"kind":"gpu""#), "{text}");
}

#[test]
fn endings_and_titles() {
    use RunJobStatus::{Cancelled, Failed, Success};
    let cases: [(&[RunJobStatus], RunStatus, Ending, &str); 9] = [
        (&[Success], RunStatus::Success, Ending::Success, "Log triage: succeeded"),
        (&[Success, Success], RunStatus::Success, Ending::Success, "Log triage: all 2 jobs succeeded"),
        (&[Failed], RunStatus::Failed, Ending::Failed, "Log triage: failed"),
        (&[Failed, Failed], RunStatus::Failed, Ending::Failed, "Log triage: all 2 jobs failed"),
        (
            &[Success, Failed, Success],
            RunStatus::Failed,
            Ending::PartlyFailed,
            "Log triage: 1 of 3 jobs failed",
        ),
        (
            &[Failed, Cancelled, Cancelled],
            RunStatus::Failed,
            Ending::Failed,
            "Log triage: 1 of 3 jobs failed, 2 were cancelled",
        ),
        (&[Cancelled], RunStatus::Cancelled, Ending::Cancelled, "Log triage: cancelled"),
        (&[Cancelled, Cancelled], RunStatus::Cancelled, Ending::Cancelled, "Log triage: cancelled"),
        (
            &[Success, Cancelled],
            RunStatus::Cancelled,
            Ending::PartlyCancelled,
            "Log triage: cancelled after 1 of 2 jobs",
        ),
    ];
    for (statuses, status, ending, title) in cases {
        let report =
            build(run(statuses.iter().zip(1..).map(|(status, n)| job(n, *status)).collect())).unwrap();
        assert_eq!((report.status, report.ending, report.title.as_str()), (status, ending, title));
        hold(&report);
    }
}

#[test]
fn an_open_run_has_no_report() {
    for open in [RunJobStatus::Pending, RunJobStatus::Assigned, RunJobStatus::Running] {
        assert_eq!(build(run(vec![job(1, RunJobStatus::Success), job(2, open)])), None, "{open}");
    }
}

#[test]
fn a_run_that_never_started_has_one() {
    let never = JobFacts {
        failure: Some(FailureKind::Infeasible),
        failure_detail: Some("99999 MiB of memory are asked for; the largest known host has 8000".into()),
        ..job(1, RunJobStatus::Failed)
    };
    let report = build(RunFacts { started_at: None, ..run(vec![never]) }).unwrap();
    assert_eq!((report.waited_ms, report.ran_ms), (None, None));
    hold(&report);
    let text = markdown(&report);
    assert!(text.contains("| Started | never |"), "{text}");
    assert!(text.contains("failed, infeasible: 99999 MiB of memory"), "{text}");
}

#[test]
fn jobs_that_are_not_listed_are_counted() {
    let facts = RunFacts {
        progress: RunProgress { success: 700, ..RunProgress::default() },
        ..run(vec![job(1, RunJobStatus::Success)])
    };
    let report = build(facts).unwrap();
    assert_eq!(report.jobs_left_out, 699);
    assert!(markdown(&report).contains("699 more jobs are counted above and not listed."));
}

#[test]
fn headlines_by_kind_of_result() {
    let window = Window { from: at(0), to: at(60) };
    let gpus =
        GpuReport { window, gpus: Vec::new(), gpus_left_out: 0, overlaps: Vec::new(), overlaps_left_out: 0 };
    let map = ServiceMap {
        taken_at: at(0),
        host: "alpha".into(),
        services: Vec::new(),
        services_left_out: 1,
        edges: Vec::new(),
        edges_left_out: 4,
        networks: 2,
        scope: MapScope::All,
        not_shown: 0,
        compared_with: None,
        changes: Vec::new(),
        changes_left_out: 0,
    };
    let values =
        [("loss".to_owned(), CustomValue::Number(0.25)), ("steps".to_owned(), CustomValue::Integer(9))];
    let custom = CustomResult { values: values.into_iter().collect() };
    let cases = [
        (triage(), "1 finding in 1200 entries from 2 containers: 7 errors, 1 warning, 0 stack traces"),
        (JobResult::GpuReport(gpus.clone()), "no GPU"),
        (
            JobResult::GpuReport(GpuReport { gpus_left_out: 2, overlaps_left_out: 1, ..gpus.clone() }),
            "2 GPUs, 0 samples, 0 leases, 1 double booking",
        ),
        (
            JobResult::GpuReport(GpuReport { gpus_left_out: 1, ..gpus }),
            "1 GPU, 0 samples, 0 leases, no double booking",
        ),
        (JobResult::ServiceMap(map), "1 service (0 running, 0 unhealthy), 4 connections, 2 networks"),
        (JobResult::Custom(custom), "2 values"),
    ];
    for (result, expected) in cases {
        assert_eq!(Headline::of(&result).to_string(), expected);
        let headline = Some(Headline::of(&result));
        hold(&build(run(vec![JobFacts { headline, ..job(1, RunJobStatus::Success) }])).unwrap());
    }
}

/// What the schema says is closed: it knows all names of ours, and no field that reports don't have.
#[test]
fn the_schema_knows_every_name() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    for (place, names) in [
        ("/properties/ending/enum", Ending::NAMES),
        ("/properties/directive/properties/directive_type/enum", DirectiveType::NAMES),
        ("/$defs/failure/properties/reason/enum", FailureKind::NAMES),
        ("/$defs/finding/properties/finding/enum", FindingKind::NAMES),
        ("/$defs/finding/properties/severity/enum", Severity::NAMES),
        ("/$defs/finding/properties/novelty/enum", Novelty::NAMES),
        ("/$defs/finding/properties/cause/oneOf/1/properties/cause/enum", Cause::NAMES),
        (
            "/$defs/headline/oneOf/0/properties/model/oneOf/1/properties/failures/items/enum",
            AskFailure::NAMES,
        ),
    ] {
        assert_eq!(schema.pointer(place), Some(&serde_json::json!(names)), "{place}");
    }
}

#[test]
fn findings_beyond_the_listed_ones_are_counted() {
    let JobResult::LogTriage(mut result) = triage() else { panic!("a triage") };
    result.findings = vec![result.findings[0].clone(); MAX_HEADLINE_FINDINGS + 4];
    result.findings_left_out = 6;
    let headline = Some(Headline::of(&JobResult::LogTriage(result)));
    let report = build(run(vec![JobFacts { headline, ..job(1, RunJobStatus::Success) }])).unwrap();
    hold(&report);
    let text = markdown(&report);
    assert_eq!(text.matches("| out of memory |").count(), MAX_HEADLINE_FINDINGS);
    assert!(text.contains("\n10 more are in the results of the jobs.\n"), "{text}");
}

#[test]
fn calls_beyond_the_listed_ones_are_counted() {
    let report = build(RunFacts { usage_left_out: 9, ..run(vec![job(1, RunJobStatus::Success)]) }).unwrap();
    let text = markdown(&report);
    assert!(text.contains("\n9 more lines are counted in the last one and not listed.\n"), "{text}");
}

#[test]
fn a_report_from_before_there_were_links_is_read() {
    let mut json = serde_json::to_value(build(mixed()).unwrap()).unwrap();
    let report = json.as_object_mut().unwrap();
    for field in ["usage", "usage_left_out", "links"] {
        report.remove(field).unwrap();
    }
    for job in report["jobs"].as_array_mut().unwrap() {
        for field in ["links", "artifacts", "artifacts_left_out"] {
            job.as_object_mut().unwrap().remove(field).unwrap();
        }
    }
    let read: RunReport = serde_json::from_value(json).unwrap();
    assert_eq!((read.usage, read.links), (Vec::new(), RunLinks::default()));
}

#[test]
fn spans_of_time() {
    for (finished, expected) in
        [(0, "0.0 s"), (3, "0.0 s"), (10, "7.0 s"), (63, "1 min 0 s"), (7_326, "2 h 2 min")]
    {
        let report =
            build(RunFacts { finished_at: at(finished), ..run(vec![job(1, RunJobStatus::Success)]) });
        let text = markdown(&report.unwrap());
        assert!(text.contains(&format!("(ran {expected})")), "{expected}: {text}");
    }
}

proptest! {
    /// Whatever a name holds, the document keeps its lines and headings.
    #[test]
    fn no_name_changes_the_document(name in "(?s).{0,60}") {
        let facts = |name: &str| {
            let mut facts = mixed();
            facts.jobs[0].name = name.to_owned();
            facts.jobs[0].host = Some(name.to_owned());
            facts.directive.name = name.to_owned();
            facts.tags = vec![name.to_owned()];
            markdown(&build(facts).unwrap())
        };
        let shape = |text: &str| {
            let bars = |line: &str| line.replace(r"\|", "").replace(r"\\", "").matches('|').count();
            text.lines().map(|line| (line.starts_with('#'), bars(line))).collect::<Vec<_>>()
        };
        let named = facts(&name);
        prop_assert_eq!(shape(&named), shape(&facts("x")));
        prop_assert!(!named.replace("\\<", "").contains('<'));
    }
}
