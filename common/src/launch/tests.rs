//! The pure parts of a launch: limits, contradictions, GPU defaults, fingerprints and the plan.

use std::collections::{BTreeMap, HashSet};

use cyberbrain_core::{
    run::DirectiveSnapshot,
    spec::{
        DirectiveType, GpuChoice, GpuPolicy, GpuRequest, ImageRef, JobScope, JobSpec, Network, OnHostLost,
        OnMiss, Resources, RetryPolicy, Timeouts,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Error, Fingerprint, LaunchRequest, check, gpu, plan, request::limit};
use crate::db::library::{AllowedImage, Directive, JobTemplate};

fn request(value: Value) -> LaunchRequest {
    serde_json::from_value(value).unwrap()
}

/// The pointers of all problems.
fn pointers<T>(outcome: Result<T, Error>) -> Vec<String> {
    match outcome {
        Ok(_) => Vec::new(),
        Err(Error::Invalid(problems)) => {
            assert!(!problems.is_empty(), "an invalid request has a problem");
            problems.into_iter().map(|problem| problem.pointer).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn everything_wrong_is_found_at_once_and_with_its_place() {
    let long = "x".repeat(300);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({ "jobs": ["log_triage"] }), &[]),
        (json!({ "directive": "" }), &["/directive"]),
        (json!({ "directive": "a\0b" }), &["/directive"]),
        (json!({ "directive": long }), &["/directive"]),
        (json!({ "priority": 101, "tags": ["", "ok", "a\nb"] }), &["/priority", "/tags/0", "/tags/2"]),
        (json!({ "tags": vec!["t"; 33] }), &["/tags"]),
        (json!({ "tags": ["t".repeat(65)] }), &["/tags/0"]),
        (json!({ "tags": ["ü".repeat(64)] }), &[]),
        (json!({ "custom_directive_text": " " }), &["/custom_directive_text"]),
        (json!({ "custom_directive_text": "x\0" }), &["/custom_directive_text"]),
        (json!({ "custom_directive_text": "two\nlines" }), &[]),
        (json!({ "jobs": ["a"], "run_jobs": [{ "job": "b" }] }), &["/run_jobs"]),
        (json!({ "jobs": vec!["a"; limit::RUN_JOBS] }), &[]),
        (json!({ "jobs": vec!["a"; limit::RUN_JOBS + 1] }), &["/jobs"]),
        (json!({ "jobs": ["\0"] }), &["/jobs/0"]),
        (json!({ "params": { "a/b": [1, { "c~d": "\0" }] } }), &["/params/a~1b/1/c~0d"]),
        (json!({ "params": { "\0": 1 } }), &["/params"]),
        (json!({ "params": { "x": "y".repeat(256 * 1024) } }), &["/params"]),
        (
            json!({ "run_jobs": [{ "job": "a", "name": "", "priority": -101, "timeout_seconds": 0 }] }),
            &["/run_jobs/0/name", "/run_jobs/0/priority", "/run_jobs/0/timeout_seconds"],
        ),
        (json!({ "run_jobs": [{ "job": "a", "inputs": vec![Uuid::nil(); 101] }] }), &["/run_jobs/0/inputs"]),
    ];
    for (value, expected) in cases {
        let shown: String = value.to_string().chars().take(120).collect();
        assert_eq!(pointers(check::check(&request(value))), expected, "{shown}");
    }
}

#[test]
fn contradictions_about_gpus_are_found() {
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &[]),
        (json!({ "policy": "require", "count": 2, "min_vram_mib": 1 }), &[]),
        (json!({ "uuid": "GPU-1", "strict": true }), &[]),
        (json!({ "index": 0, "host": "h" }), &[]),
        (json!({ "policy": "none", "min_vram_mib": 1 }), &["policy"]),
        (json!({ "policy": "none", "uuid": "GPU-1" }), &["policy"]),
        (json!({ "policy": "require", "prefer_wait_seconds": 5 }), &["prefer_wait_seconds"]),
        (json!({ "count": 0, "min_vram_mib": 0 }), &["count", "min_vram_mib"]),
        (json!({ "uuid": "GPU-1", "index": 0 }), &["index"]),
        (json!({ "host": "h" }), &["host"]),
        (json!({ "uuid": "GPU-1", "count": 2 }), &["count"]),
        (json!({ "strict": true }), &["strict"]),
        (json!({ "uuid": "" }), &["uuid"]),
        (json!({ "index": 1024, "host": "a\0" }), &["index", "host"]),
    ];
    for (gpu, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|field| format!("/run_jobs/0/gpu/{field}")).collect();
        let asked = request(json!({ "run_jobs": [{ "job": "a", "gpu": gpu.clone() }] }));
        assert_eq!(pointers(check::check(&asked)), expected, "{gpu}");
    }
}

#[test]
fn the_number_of_problems_and_the_length_of_pointers_have_a_bound() {
    let many = request(json!({ "run_jobs": vec![json!({ "job": "" }); 5_000] }));
    assert_eq!(pointers(check::check(&many)).len(), super::MAX_PROBLEMS);
    let deep = request(json!({ "params": { "k".repeat(200_000): { "inner": "\0" } } }));
    assert_eq!(pointers(check::check(&deep)), ["/params"], "it stops at an ancestor");
}

#[test]
fn repeated_and_unknown_keys_are_refused() {
    for text in [
        r#"{"jobs":["a"],"jobs":["b"]}"#,
        r#"{"params":{"a":1,"a":2}}"#,
        r#"{"params":{"x":[{"a":1,"a":2}]}}"#,
        r#"{"job":"a"}"#,
        r#"{"run_jobs":[{"job":"a","gpu":{"vram":1}}]}"#,
        r#"{"run_jobs":[{"name":"a"}]}"#,
        r#"{"params":[1]}"#,
        // By position, as serde would take them.
        r#"[]"#,
        r#"["D1"]"#,
        r#"{"run_jobs":[["log_triage"]]}"#,
        r#"{"run_jobs":[{"job":"a","gpu":["require"]}]}"#,
        r#"{"run_jobs":[{"job":"a","gpu":{"policy":"maybe"}}]}"#,
    ] {
        assert!(serde_json::from_str::<LaunchRequest>(text).is_err(), "{text}");
    }
}

#[test]
fn the_fingerprint_is_of_the_meaning() {
    let of = |text: &str| Fingerprint::of(&serde_json::from_str::<LaunchRequest>(text).unwrap());
    let base = of(r#"{"jobs":["a"],"params":{"x":1,"y":{"p":[1,2],"q":"z"}}}"#);
    for same in [
        r#"{ "params": { "y": {"q":"z", "p":[1,2]}, "x": 1 }, "jobs": ["a"] }"#,
        r#"{"jobs":["a"],"params":{"x":1,"y":{"p":[1,2],"q":"\u007a"}},"priority":0,"tags":[],"directive":null}"#,
    ] {
        assert_eq!(of(same), base, "{same}");
    }
    for other in [
        r#"{"jobs":["b"],"params":{"x":1,"y":{"p":[1,2],"q":"z"}}}"#,
        r#"{"jobs":["a"],"params":{"x":1,"y":{"p":[2,1],"q":"z"}}}"#,
        r#"{"jobs":["a"],"params":{"x":"1","y":{"p":[1,2],"q":"z"}}}"#,
        r#"{"jobs":["a"],"params":{"x":1,"y":{"p":[1,2],"q":"z"}},"priority":1}"#,
        r#"{"jobs":["a"],"params":{"x":1}}"#,
    ] {
        assert_ne!(of(other), base, "{other}");
    }
}

fn image(requires_gpu: bool, min_vram_mib: Option<u32>) -> AllowedImage {
    AllowedImage { image: ImageRef::builtin(), active: true, requires_gpu, min_vram_mib }
}

#[test]
fn the_gpu_defaults_come_from_the_job_and_the_image() {
    let none = GpuRequest::none();
    let whole =
        GpuRequest { policy: GpuPolicy::Require, count: 2, min_vram_mib: Some(8_000), ..GpuRequest::none() };
    let plain = image(false, None);
    let hungry = image(true, Some(4_000));
    let cases = [
        // template, image, wish → policy, count, VRAM
        (&none, &plain, json!({}), (GpuPolicy::None, 0, None)),
        (&none, &plain, json!({ "min_vram_mib": 100 }), (GpuPolicy::Prefer, 1, Some(100))),
        (&none, &plain, json!({ "policy": "require" }), (GpuPolicy::Require, 1, None)),
        (&none, &plain, json!({ "uuid": "GPU-1" }), (GpuPolicy::Prefer, 1, None)),
        (&none, &plain, json!({ "count": 2 }), (GpuPolicy::Prefer, 2, None)),
        (&none, &hungry, json!({}), (GpuPolicy::Prefer, 1, Some(4_000))),
        (&none, &hungry, json!({ "min_vram_mib": 9_000 }), (GpuPolicy::Prefer, 1, Some(9_000))),
        (&none, &hungry, json!({ "policy": "none" }), (GpuPolicy::None, 0, None)),
        (&none, &image(true, None), json!({}), (GpuPolicy::Prefer, 1, None)),
        (&none, &image(false, Some(1)), json!({}), (GpuPolicy::Prefer, 1, Some(1))),
        (&whole, &hungry, json!({}), (GpuPolicy::Require, 2, Some(8_000))),
        (&whole, &image(true, Some(9_000)), json!({}), (GpuPolicy::Require, 2, Some(9_000))),
        (&whole, &plain, json!({ "policy": "prefer", "count": 1 }), (GpuPolicy::Prefer, 1, Some(8_000))),
        (&whole, &plain, json!({ "index": 3 }), (GpuPolicy::Require, 1, Some(8_000))),
    ];
    for (template, image, wish, expected) in cases {
        let got = gpu::resolve(template, image, Some(&serde_json::from_value(wish.clone()).unwrap()));
        assert_eq!((got.policy, got.count, got.min_vram_mib), expected, "{wish} of {template:?} {image:?}");
    }
    let strict = json!({ "index": 3, "host": "h", "strict": true });
    let got = gpu::resolve(&none, &plain, Some(&serde_json::from_value(strict).unwrap()));
    assert_eq!(got.choice, GpuChoice::Index { index: 3, host: Some("h".into()), on_miss: OnMiss::Refuse });
}

fn job(key: &str, alias: &str) -> JobTemplate {
    let spec = JobSpec {
        task_key: key.into(),
        image: ImageRef::builtin(),
        command: vec![],
        env: BTreeMap::new(),
        resources: Resources::default(),
        gpu: GpuRequest::none(),
        timeouts: Timeouts::default(),
        retry: RetryPolicy::default(),
        network: Network::None,
        on_host_lost: OnHostLost::Replace,
        host: None,
        output: None,
        secrets: Vec::new(),
        caches: Vec::new(),
        pull: cyberbrain_core::grant::PullPolicy::default(),
    };
    JobTemplate {
        id: Uuid::now_v7().into(),
        task_key: key.into(),
        aliases: vec![alias.into()],
        name: key.to_uppercase(),
        description: String::new(),
        scope: JobScope::One,
        default_directive: DirectiveType::D1,
        spec,
        active: true,
        builtin: false,
        version: 1,
        created_at: chrono::DateTime::UNIX_EPOCH,
        updated_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn library(tasks: &[&str]) -> plan::Library {
    let snapshot = DirectiveSnapshot {
        id: Uuid::now_v7().into(),
        kind: DirectiveType::D1,
        name: "Triage".into(),
        version: 3,
        description: String::new(),
        text: "look".into(),
        task_config: json!({}),
        task_list: tasks.iter().map(|&task| task.to_owned()).collect(),
        approval_required: false,
        max_concurrent_runs: None,
    };
    plan::Library {
        directive: Some(Directive {
            snapshot,
            active: true,
            builtin: true,
            created_at: chrono::DateTime::UNIX_EPOCH,
            superseded_at: None,
        }),
        jobs: vec![job("alpha", "task1"), job("beta", "task2")],
        images: vec![image(false, None)],
        uploads: HashSet::new(),
    }
}

#[test]
fn run_jobs_share_a_frozen_specification_where_they_can() {
    let asked = request(json!({ "priority": 7, "run_jobs": [
        { "job": "alpha" }, { "job": "task1", "name": "mine", "priority": 9 },
        { "job": "alpha", "timeout_seconds": 5 }, { "job": "beta", "gpu": { "min_vram_mib": 5 } },
    ]}));
    let plan = plan::plan(&asked, &library(&[])).unwrap();
    let rows: Vec<_> =
        plan.run_jobs.iter().map(|row| (row.frozen, row.name.as_str(), row.priority)).collect();
    assert_eq!(rows, [(0, "ALPHA", 7), (0, "mine", 9), (1, "ALPHA", 7), (2, "BETA", 7)]);
    assert_eq!(plan.frozen[1].spec.timeouts.run_seconds, 5);
    assert_eq!(plan.frozen[2].spec.gpu.policy, GpuPolicy::Prefer);
    assert_ne!(plan.frozen[0].shape, plan.frozen[2].shape);
    assert_eq!(plan.frozen[0].shape, plan.frozen[1].shape, "time limits don't concern placement");
}

#[test]
fn the_directive_says_what_may_run() {
    let library = library(&["task1"]);
    let refused = plan::plan(&request(json!({ "jobs": ["alpha", "beta", "gamma"] })), &library);
    let Err(Error::Invalid(problems)) = refused else { panic!("beta is not listed") };
    let places: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(places, ["/jobs/1", "/jobs/2"]);
    let told = &problems[0].detail;
    assert!(told.contains("allows task1 only") && told.contains("leave out beta"), "{told}");
    let plan = plan::plan(&request(json!({})), &library).unwrap();
    assert_eq!(plan.run_jobs.len(), 1, "without jobs it runs what the directive lists");
}

#[test]
fn what_is_switched_off_or_not_allowed_is_refused() {
    let asked =
        request(json!({ "run_jobs": [{ "job": "alpha", "inputs": [Uuid::nil()] }, { "job": "beta" }] }));
    let mut off = library(&[]);
    off.jobs[1].active = false;
    off.directive.as_mut().unwrap().active = false;
    let found = pointers(plan::plan(&asked, &off));
    assert_eq!(found, ["/directive", "/run_jobs/0/inputs/0", "/run_jobs/1/job"]);
    let mut unlisted = library(&[]);
    unlisted.images[0].active = false;
    assert_eq!(pointers(plan::plan(&request(json!({ "jobs": ["alpha"] })), &unlisted)), ["/jobs/0"]);
    let mut nameless = library(&[]);
    nameless.directive = None;
    assert_eq!(pointers(plan::plan(&request(json!({ "jobs": ["alpha"] })), &nameless)), ["/directive"]);
    assert_eq!(pointers(plan::plan(&request(json!({})), &library(&[]))), ["/jobs"]);
}

#[test]
fn a_text_of_ones_own_keeps_the_rules_and_is_called_custom() {
    let asked = request(json!({ "jobs": ["alpha"], "custom_directive_text": "mine" }));
    let plan = plan::plan(&asked, &library(&["alpha"])).unwrap();
    let snapshot = plan.directive;
    assert_eq!((snapshot.name.as_str(), snapshot.text.as_str()), ("custom", "mine"));
    assert_eq!((snapshot.kind, snapshot.version), (DirectiveType::D1, 3));
    assert_eq!(snapshot.task_list, ["alpha"]);
}

#[test]
fn a_built_in_job_is_refused_params_that_it_could_not_work_with() {
    use JobKind::{Custom, GpuReport, LogTriage, ServiceMap};
    use cyberbrain_core::job_kind::JobKind;

    use super::{
        builtin,
        problem::{Pointer, Problems},
    };
    let cases: Vec<(JobKind, Value, Value, &[&str])> = vec![
        (LogTriage, json!({}), json!({}), &[]),
        (LogTriage, json!({ "anything": 1 }), json!({ "window_hours": 6, "containers": ["web"] }), &[]),
        (
            LogTriage,
            json!({ "since": "2026-01-31T06:00:00Z" }),
            json!({ "until": "2026-01-31T07:00:00+01:00" }),
            &["/run_jobs/0/params/until"],
        ),
        (
            LogTriage,
            json!({ "since": "2026-01-31T06:00:00Z" }),
            json!({ "until": "2026-02-01T00:00:00Z" }),
            &[],
        ),
        (LogTriage, json!({ "since": "yesterday" }), json!({}), &["/params/since"]),
        (LogTriage, json!({}), json!({ "since": 5 }), &["/run_jobs/0/params/since"]),
        (LogTriage, json!({ "window_hours": -1 }), json!({}), &["/params/window_hours"]),
        (LogTriage, json!({ "window_hours": -1 }), json!({ "window_hours": 1 }), &[]),
        (LogTriage, json!({}), json!({ "window_hours": "6" }), &["/run_jobs/0/params/window_hours"]),
        (LogTriage, json!({}), json!({ "containers": "web" }), &["/run_jobs/0/params/containers"]),
        (LogTriage, json!({ "until": "2026-02-01T00:00:00Z" }), json!({}), &["/params/until"]),
        (
            LogTriage,
            json!({ "since": "2026-01-31T06:00:00Z", "window_hours": 1 }),
            json!({}),
            &["/params/window_hours"],
        ),
        (GpuReport, json!({ "since": 5, "window_hours": 744 }), json!({}), &[]),
        (GpuReport, json!({ "window_hours": 745 }), json!({}), &["/params/window_hours"]),
        (
            GpuReport,
            json!({ "window_hours": 745 }),
            json!({ "window_hours": 0 }),
            &["/run_jobs/0/params/window_hours"],
        ),
        (ServiceMap, json!({ "scope": "all", "window_hours": 745 }), json!({}), &[]),
        (ServiceMap, json!({}), json!({ "scope": "everything" }), &["/run_jobs/0/params/scope"]),
    ];
    for (kind, of_run, own, expected) in cases {
        // What is wrong for one is nothing to a job that does not know it.
        for (job, expected) in [(kind, expected), (Custom, &[])] {
            let mut problems = Problems::default();
            let of_jobs = Pointer::Key(&Pointer::Root, "run_jobs");
            builtin::check(job, of_run.as_object(), own.as_object(), &of_jobs.index(0), &mut problems);
            let found = pointers(problems.or(()));
            assert_eq!(found, expected, "{job} {of_run} {own}");
        }
    }
}
