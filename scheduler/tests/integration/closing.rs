//! Closing a Run: promise 1's last step.

use std::{sync::Arc, time::Instant};

use cyberbrain_common::{
    approve::{DecisionRequest, decide},
    db::{
        admission::Approval,
        llm_calls::{self, LlmCall},
        usage::{self, UsageBy},
    },
    ids::fresh,
};
use cyberbrain_common::{
    db::transition::{Facts, Step, transition},
    queue::{self, Queue},
};
use cyberbrain_core::{
    audit::Actor,
    lifecycle::{Event, FailureKind, Outcome, RunStatus},
    outcome::{CustomResult, CustomValue, JobResult},
    report::{Ending, Headline, RunReport},
};
use cyberbrain_scheduler::{CloseScan, Closing, close};
use serde_json::json;
use tokio::sync::Barrier;

use crate::world::{LAUNCHER, World};

#[tokio::test]
async fn a_finished_run_gets_its_status_tokens_report_and_audit_row_once() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let run = world
        .launch(json!({ "directive": "D2", "tags": ["nightly"], "run_jobs": [
            { "job": "gpu_report", "name": "on a card", "gpu": { "policy": "require", "min_vram_mib": 4000 } },
            { "job": "gpu_report", "name": "broken" },
        ] }))
        .await;
    world.admit(run).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 2);
    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::StillOpen);

    let taken = host.accept(10).await;
    host.start(&taken).await;
    let jobs = world.run_jobs(run).await;
    let of = |name: &str| {
        let job = jobs.iter().find(|job| job.name == name).unwrap();
        *taken.iter().find(|taken| taken.run_job == job.id).unwrap()
    };
    let (good, bad) = (of("on a card"), of("broken"));
    let mut tx = world.pool.begin().await.unwrap();
    let values = [("loss".to_owned(), CustomValue::Number(0.5))];
    let result = JobResult::Custom(CustomResult { values: values.into_iter().collect() });
    let facts = Facts { result: Some(result), ..Facts::default() };
    let event = Event::Finish { fence: good.fence, outcome: Outcome::Success };
    transition(&mut tx, Step { run_job: good.run_job, event, facts }, &LAUNCHER).await.unwrap();
    let facts = Facts { detail: Some("the worker ended with exit code 3".into()), ..Facts::default() };
    let event = Event::Finish { fence: bad.fence, outcome: Outcome::Failed(FailureKind::NonzeroExit) };
    transition(&mut tx, Step { run_job: bad.run_job, event, facts }, &LAUNCHER).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("update run_jobs set prompt_tokens = 100, completion_tokens = 7 where run_id = $1")
        .bind(run.uuid())
        .execute(&world.pool)
        .await
        .unwrap();

    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::Closed(RunStatus::Failed));
    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::NotNeeded);
    let report: serde_json::Value = world.scalar("select report from runs where id = $1", run.uuid()).await;
    let report: RunReport = serde_json::from_value(report).unwrap();
    assert_eq!((report.status, report.ending), (RunStatus::Failed, Ending::PartlyFailed));
    assert_eq!((report.tokens.prompt, report.tokens.completion, report.tokens.total()), (200, 14, 214));
    assert!(
        report.created_at <= report.started_at.unwrap() && report.started_at.unwrap() <= report.finished_at
    );
    let [card, broken] = &report.jobs[..] else { panic!("two jobs: {report:?}") };
    assert!(matches!(card.headline, Some(Headline::Custom { values: 1, .. })), "{card:?}");
    let place = serde_json::to_value(&card.place).unwrap();
    assert_eq!(place, json!({ "kind": "gpu", "gpus": [{ "uuid": "GPU-alpha-0", "reserved_mib": 4000 }] }));
    assert_eq!(broken.failure.as_ref().unwrap().reason, FailureKind::NonzeroExit);
    let text: String = world.scalar("select report_markdown from runs where id = $1", run.uuid()).await;
    assert!(text.starts_with("# GPU report: 1 of 2 jobs failed"), "{text}");
    assert!(text.contains("failed, nonzero_exit: the worker ended with exit code 3"), "{text}");
    let rows: i64 = world
        .scalar(
            "select count(*) from worker_audit where run_id = $1 and run_job_id is null and operation = 'finish'",
            run.uuid(),
        )
        .await;
    assert_eq!(rows, 1);
}

/// The report of a closed Run, held against the published schema, with its Markdown.
async fn report_of(world: &World, run: cyberbrain_core::ids::RunId) -> (RunReport, String) {
    let json: serde_json::Value = world.scalar("select report from runs where id = $1", run.uuid()).await;
    let schema = serde_json::from_str(cyberbrain_core::report::SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {json:#}");
    let text = world.scalar("select report_markdown from runs where id = $1", run.uuid()).await;
    (serde_json::from_value(json).unwrap(), text)
}

#[tokio::test]
async fn a_report_has_the_tokens_that_usage_tells_and_links_to_what_was_left() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    let run = world.launch_cpu(2).await;
    world.admit(run).await;
    world.tick().run_once().await.unwrap();
    let taken = host.accept(10).await;
    host.start(&taken).await;
    let mut connection = world.pool.acquire().await.unwrap();
    let call = |job: usize, model: &str, prompt_tokens, estimated| LlmCall {
        id: fresh(),
        run_job: taken[job].run_job,
        attempt: taken[job].attempt,
        endpoint: "local".into(),
        model: model.into(),
        prompt_tokens,
        completion_tokens: 5,
        total_tokens: prompt_tokens + 5,
        estimated,
        duration_ms: 3,
        failure: None,
    };
    let calls = [
        call(0, "llama", 100, false),
        call(1, "llama", 50, false),
        call(1, "small", 7, true),
        call(1, "small", 8, false),
    ];
    llm_calls::record(&mut connection, &calls).await.unwrap();
    sqlx::query(
        "insert into run_artifacts (id, run_id, run_job_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), run_id, id, host_id, 'data', id || '/out/file-' || n, n, sha256(''), 'text/csv'
         from run_jobs, generate_series(10, 34) n where id = $1",
    )
    .bind(taken[0].run_job.uuid())
    .execute(&mut *connection)
    .await
    .unwrap();
    host.finish(&taken, Outcome::Success).await;
    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::Closed(RunStatus::Success));

    let (report, text) = report_of(&world, run).await;
    let told = usage::usage(&mut connection, UsageBy::Run, None, None, 10).await.unwrap().remove(0);
    let sum = |count: fn(&cyberbrain_core::report::UsageLine) -> u64| {
        i64::try_from(report.usage.iter().map(count).sum::<u64>()).unwrap()
    };
    assert_eq!(told.key, run.to_string());
    assert_eq!(
        (told.calls, told.estimated_calls, told.prompt_tokens, told.completion_tokens, told.total_tokens),
        (
            sum(|line| line.calls),
            sum(|line| line.estimated_calls),
            sum(|line| line.prompt),
            sum(|line| line.completion),
            sum(|line| line.total)
        )
    );
    assert_eq!(i64::try_from(report.tokens.total()).unwrap(), told.total_tokens);
    let by_model = usage::usage(&mut connection, UsageBy::Model, None, None, 10).await.unwrap();
    let lines: Vec<(&str, u64)> = report.usage.iter().map(|line| (line.model.as_str(), line.total)).collect();
    assert_eq!(lines, [("llama", 160), ("small", 25)]);
    let by_model: Vec<(&str, i64)> =
        by_model.iter().map(|sum| (sum.key.as_str(), sum.total_tokens)).collect();
    assert_eq!(by_model, [("llama", 160), ("small", 25)]);
    assert!(text.contains("| small | 2 | 15 | 10 | 25 (estimated) |"), "{text}");

    let job = report.jobs.iter().find(|job| job.id == taken[0].run_job).unwrap();
    assert_eq!((job.artifacts.len(), job.artifacts_left_out), (20, 5));
    assert_eq!((job.artifacts[0].file.name.as_str(), job.artifacts[0].file.size_bytes), ("file-10", 10));
    let path = format!("/api/v1/artifacts/{}/content", job.artifacts[0].file.id);
    assert_eq!(job.artifacts[0].content, path);
    assert!(text.contains(&format!("[file-10]({path})")), "{text}");
    assert_eq!(job.links.logs, Some(format!("/api/v1/run-jobs/{}/logs", job.id)));
}

/// Failed, cancelled, partly failed and partly cancelled: each has a report with its reasons.
#[tokio::test]
async fn a_run_has_a_report_with_the_reasons_however_it_ends() {
    use Outcome::{Cancelled, Failed, Success};
    let broken = Failed(FailureKind::NonzeroExit);
    for (outcomes, status, ending, said) in [
        ([Success, Success], RunStatus::Success, Ending::Success, "- Status: success\n"),
        (
            [broken, broken],
            RunStatus::Failed,
            Ending::Failed,
            "- Status: failed, nonzero_exit: exit code 3\n",
        ),
        (
            [Success, broken],
            RunStatus::Failed,
            Ending::PartlyFailed,
            "- Status: failed, nonzero_exit: exit code 3\n",
        ),
        ([Success, Cancelled], RunStatus::Cancelled, Ending::PartlyCancelled, "- Status: cancelled"),
        ([Cancelled, Cancelled], RunStatus::Cancelled, Ending::Cancelled, "- Status: cancelled"),
    ] {
        let Some(world) = World::new().await else { return };
        let host = world.host("alpha", &[]).await;
        let run = world.launch_cpu(2).await;
        world.admit(run).await;
        world.tick().run_once().await.unwrap();
        let taken = host.accept(10).await;
        host.start(&taken).await;
        for (taken, outcome) in taken.iter().zip(outcomes) {
            let detail = match outcome {
                Failed(_) => Some("exit code 3".to_owned()),
                Success | Cancelled => None,
            };
            let mut tx = world.pool.begin().await.unwrap();
            let event = Event::Finish { fence: taken.fence, outcome };
            let facts = Facts { detail, ..Facts::default() };
            transition(&mut tx, Step { run_job: taken.run_job, event, facts }, &LAUNCHER).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(close(&world.pool, run).await.unwrap(), Closing::Closed(status), "{ending}");
        let (report, text) = report_of(&world, run).await;
        assert_eq!((report.status, report.ending), (status, ending));
        assert!(text.contains(said), "{ending}: {text}");
    }
}

#[tokio::test]
async fn a_denied_run_has_a_report_that_says_so() {
    let Some(world) = World::new().await else { return };
    world.execute("update directives set approval_required = true where directive_type = 'D2'").await;
    let run = world.launch_cpu(2).await;
    world.admit(run).await;
    let boss = Actor::Key("boss".to_owned());
    let mut connection = world.pool.acquire().await.unwrap();
    decide(&mut connection, run, Approval::Denied, &DecisionRequest::default(), &boss).await.unwrap();
    drop(connection);
    world.admit(run).await;
    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::Closed(RunStatus::Cancelled));
    let (report, text) = report_of(&world, run).await;
    assert_eq!((report.ending, report.counts.cancelled, report.started_at), (Ending::Cancelled, 2, None));
    assert!(report.jobs.iter().all(|job| job.links.logs.is_none()), "{report:?}");
    assert_eq!(text.matches("denied").count(), 2, "{text}");
}

#[tokio::test]
async fn a_cancelled_run_that_never_started_has_a_report_too() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(2).await;
    let mut connection = world.pool.acquire().await.unwrap();
    cyberbrain_common::cancel::cancel_run(&mut connection, run, &LAUNCHER).await.unwrap();
    drop(connection);
    assert_eq!(CloseScan::new(world.pool.clone()).run_once().await.unwrap(), 1);
    assert_eq!(world.run_status(run).await, RunStatus::Cancelled);
    let text: String = world.scalar("select report_markdown from runs where id = $1", run.uuid()).await;
    assert!(text.contains(": cancelled") && text.contains("| Started | never |"), "{text}");
    report_of(&world, run).await;
}

/// The write skew: each of the two transactions sees the other's RunJob as open, so neither asks for the close.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_two_run_jobs_of_a_run_finishing_at_once_still_close_it() {
    const ROUNDS: usize = 1_000;
    const AT_ONCE: usize = 8;
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    for _ in 0..ROUNDS / AT_ONCE {
        let launches = (0..AT_ONCE).map(async |_| {
            let run = world.launch_cpu(2).await;
            world.admit(run).await;
        });
        futures::future::join_all(launches).await;
    }
    let mut tick = world.tick();
    while tick.run_once().await.unwrap().placed > 0 {}
    let mut taken = Vec::new();
    loop {
        let some = host.accept(500).await;
        if some.is_empty() {
            break;
        }
        host.start(&some).await;
        taken.extend(some);
    }
    assert_eq!(taken.len(), 2 * ROUNDS);
    let mut of_run = std::collections::BTreeMap::<_, Vec<_>>::new();
    let ids: Vec<(uuid::Uuid, uuid::Uuid)> =
        sqlx::query_as("select id, run_id from run_jobs").fetch_all(&world.pool).await.unwrap();
    let runs_of: std::collections::BTreeMap<_, _> = ids.into_iter().collect();
    for taken in taken {
        of_run.entry(runs_of[&taken.run_job.uuid()]).or_default().push(taken);
    }

    let started = Instant::now();
    let mut scan = CloseScan::new(world.pool.clone());
    let mut closed = 0;
    let pairs: Vec<_> = of_run.into_values().collect();
    for chunk in pairs.chunks(AT_ONCE) {
        let mut rounds = tokio::task::JoinSet::new();
        for pair in chunk {
            let barrier = Arc::new(Barrier::new(2));
            for taken in pair.clone() {
                let (pool, barrier) = (world.pool.clone(), Arc::clone(&barrier));
                rounds.spawn(async move {
                    let mut tx = pool.begin().await.unwrap();
                    let event = Event::Finish { fence: taken.fence, outcome: Outcome::Success };
                    transition(&mut tx, Step::new(taken.run_job, event), &LAUNCHER).await.unwrap();
                    // Both have written before one commits.
                    barrier.wait().await;
                    tx.commit().await.unwrap();
                });
            }
        }
        while let Some(done) = rounds.join_next().await {
            done.unwrap();
        }
        closed += scan.run_once().await.unwrap();
    }
    let elapsed = started.elapsed();
    let asked = queue::stats(&world.pool).await.unwrap();
    let asked: u64 = asked.iter().filter(|stats| stats.queue == Queue::Runs).map(|stats| stats.depth).sum();
    // Each launch pushed one admission.
    let closes = asked - ROUNDS as u64;
    assert!(
        closes < ROUNDS as u64 / 10,
        "the two never ran at once, so nothing was tested: {closes} closes pushed"
    );
    assert_eq!(closed, ROUNDS);
    let unfinished =
        world.count("select count(*) from runs where status <> 'success' or report is null").await;
    assert_eq!(unfinished, 0);
    let audited = world
        .count("select count(*) from worker_audit where run_job_id is null and operation = 'finish'")
        .await;
    assert_eq!(audited, ROUNDS as i64, "closed once each");
    eprintln!(
        "last two at once: {ROUNDS} rounds, {closes} of them asked for the close themselves, {:.1} s",
        elapsed.as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_closers_of_one_run_close_it_once() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    let run = world.launch_cpu(3).await;
    world.admit(run).await;
    world.tick().run_once().await.unwrap();
    let taken = host.accept(10).await;
    host.start(&taken).await;
    host.finish(&taken, Outcome::Success).await;
    let mut closers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let pool = world.pool.clone();
        closers.spawn(async move { close(&pool, run).await.unwrap() });
    }
    let outcomes = closers.join_all().await;
    let closed = outcomes.iter().filter(|outcome| **outcome == Closing::Closed(RunStatus::Success)).count();
    assert_eq!(closed, 1, "{outcomes:?}");
}
