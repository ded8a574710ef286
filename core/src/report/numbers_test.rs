//! Whatever a Run was: its Markdown tells the numbers and times of its JSON, all of them, and no others.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use super::{read_back, *};
use crate::{
    ids::GpuUuid,
    lifecycle::{FailureKind, RunJobStatus},
    outcome::{AskFailure, Cause, CustomValue, FindingKind, Novelty, Severity},
    spec::DirectiveType,
};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), 2..100_000_u64]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..90_000_000)
        .prop_map(|ms| DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(ms))
}

/// Names as people choose them, with what could be taken for a number, a cell or a list.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_|*# ,:()-]{1,12}", Just("3 errors, 4 warnings".to_owned()), Just("| 7 |".to_owned())]
        .prop_map(|name| format!("x{name}x"))
}

fn finding() -> impl Strategy<Value = TopFinding> {
    let cause = option::of(
        (0..=100_u8).prop_map(|confidence_percent| LikelyCause { cause: Cause::Network, confidence_percent }),
    );
    (name(), number(), option::of(time()), option::of(time()), cause).prop_map(
        |(name, count, first_seen, last_seen, cause)| TopFinding {
            finding: FindingKind::OutOfMemory,
            severity: Severity::Fatal,
            novelty: Novelty::New,
            host: name.clone(),
            container: name,
            count,
            first_seen,
            last_seen,
            cause,
        },
    )
}

fn model() -> impl Strategy<Value = ModelTold> {
    let failures = prop_oneof![Just(Vec::new()), Just(AskFailure::ALL.to_vec())];
    (number(), number(), failures).prop_map(|(asked, answered, failures)| ModelTold {
        asked,
        answered,
        failures,
    })
}

fn value() -> impl Strategy<Value = CustomValue> {
    prop_oneof![
        any::<bool>().prop_map(CustomValue::Bool),
        any::<i64>().prop_map(CustomValue::Integer),
        (-1e6..1e6).prop_map(CustomValue::Number),
        "[a-z_]{1,9}".prop_map(CustomValue::Name),
    ]
}

fn headline() -> impl Strategy<Value = Headline> {
    let n = number;
    prop_oneof![
        (n(), n(), n(), n(), n(), n(), vec(finding(), 0..MAX_HEADLINE_FINDINGS), option::of(model()))
            .prop_map(|(entries, sources, errors, warnings, stack_traces, more, top, model)| {
                Headline::LogTriage {
                    entries,
                    sources,
                    errors,
                    warnings,
                    stack_traces,
                    findings: top.len() as u64 + more,
                    top,
                    model,
                }
            }),
        (n(), n(), n(), n(), n(), n(), n(), n()).prop_map(
            |(gpus, samples, leases, overlaps, xids, bad, a, b)| {
                let some = u64::from(gpus > 0);
                Headline::GpuReport {
                    gpus,
                    samples: samples * some,
                    leases: leases * some,
                    overlaps: overlaps * some,
                    xids: xids * some,
                    uncorrected_memory_errors: bad * some,
                    reserved_seconds: a.max(b) * some,
                    idle_reserved_seconds: a.min(b) * some,
                }
            }
        ),
        (n(), n(), n(), n(), n(), n()).prop_map(
            |(services, running, unhealthy, edges, networks, changes)| {
                Headline::ServiceMap { services, running, unhealthy, edges, networks, changes }
            }
        ),
        (n(), vec((name(), value()), 0..8)).prop_map(|(more, values)| Headline::Custom {
            values: values.len() as u64 + more,
            top: values.into_iter().map(|(name, value)| NamedValue { name, value }).collect(),
        }),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let share = |n: usize, reserved_mib| GpuShare { uuid: GpuUuid::new(format!("GPU-{n}")), reserved_mib };
    prop_oneof![
        Just(Place::Cpu),
        Just(Place::CpuFallback),
        vec(1..99_999_u32, 1..4).prop_map(move |mib| Place::Gpu {
            gpus: mib.into_iter().enumerate().map(|(n, mib)| share(n, mib)).collect()
        }),
    ]
}

prop_compose! {
    fn job()(
        name in name(),
        place in place(),
        status in prop_oneof![Just(RunJobStatus::Success), Just(RunJobStatus::Failed), Just(RunJobStatus::Cancelled)],
        attempts in 1_u32..99,
        times in option::of((time(), time())),
        headline in option::of(headline()),
        (prompt, completion) in (number(), number()),
        files in vec((name(), number()), 0..5),
        artifacts_left_out in number(),
    ) -> JobFacts {
        JobFacts {
            id: Uuid::from_u128(7).into(),
            ordinal: 0,
            job: "log_triage".into(),
            name: name.clone(),
            status,
            host: Some(name.clone()),
            place: Some(place),
            selection_reason: Some(name),
            attempts,
            started_at: times.map(|times| times.0),
            finished_at: times.map(|times| times.1),
            headline,
            failure: (status != RunJobStatus::Success).then_some(FailureKind::NonzeroExit),
            failure_detail: Some("exit code 3: 2 more".into()),
            tokens: Tokens { prompt, completion },
            artifacts: files
                .into_iter()
                .map(|(name, size_bytes)| ArtifactLine { id: Uuid::from_u128(9).into(), kind: "data".into(), name, size_bytes })
                .collect(),
            artifacts_left_out,
        }
    }
}

prop_compose! {
    fn run()(
        jobs in vec(job(), 1..6),
        name in name(),
        version in 1_u32..99,
        created_at in time(),
        started_at in option::of(time()),
        finished_at in time(),
        (prompt, completion) in (number(), number()),
        usage in vec((name(), number(), number(), number(), number()), 0..5),
        usage_left_out in number(),
        more in number(),
    ) -> RunFacts {
        let mut progress: crate::lifecycle::RunProgress = jobs.iter().map(|job| job.status).collect();
        progress.success += more;
        RunFacts {
            run: Uuid::from_u128(0xa1).into(),
            directive: DirectiveLine { directive_type: DirectiveType::D1, name: name.clone(), version },
            requested_by: name.clone(),
            tags: vec![name],
            created_at,
            started_at,
            finished_at,
            progress,
            tokens: Tokens { prompt, completion },
            usage: usage
                .into_iter()
                .map(|(model, calls, estimated, prompt, completion)| UsageLine {
                    job: model.clone(),
                    model,
                    calls,
                    estimated_calls: estimated.min(calls),
                    prompt,
                    completion,
                    total: prompt + completion,
                })
                .collect(),
            usage_left_out,
            jobs: (1..).zip(jobs).map(|(ordinal, job)| JobFacts { ordinal, ..job }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn every_number_of_the_markdown_is_that_of_the_json_and_none_is_missing(facts in run()) {
        let report = build(facts).unwrap();
        read_back::hold(&markdown(&report), &serde_json::to_value(&report).unwrap());
    }
}
