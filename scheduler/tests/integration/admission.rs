//! Which Runs may start, and what their RunJobs become.

use std::collections::BTreeSet;

use cyberbrain_common::{
    approve::{Decided, DecisionRequest, decide},
    db::admission::{Approval, Hold},
};
use cyberbrain_core::{
    audit::Actor,
    ids::RunId,
    lifecycle::{Outcome, RunJobStatus, RunStatus},
};
use cyberbrain_scheduler::{Admission, AdmitScan, CloseScan, Signal, admit};
use cyberbrain_testkit::wait_until;
use serde_json::json;

use crate::world::{Host, LIMIT, World};

fn scan(world: &World) -> AdmitScan {
    AdmitScan::new(world.pool.clone(), Signal::default())
}

/// Carries everything through that is waiting, once.
async fn drain(world: &World, host: &Host) {
    while world.tick().run_once().await.unwrap().placed > 0 {}
    let taken = host.accept(1_000).await;
    host.start(&taken).await;
    host.finish(&taken, Outcome::Success).await;
}

#[tokio::test]
async fn an_admission_happens_once() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(3).await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Admitted { run_jobs: 3 });
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::NotNeeded);
    assert_eq!(scan(&world).run_once().await.unwrap(), 0);
}

#[tokio::test]
async fn a_run_that_needs_approval_waits_for_it() {
    let Some(world) = World::new().await else { return };
    world.execute("update directives set approval_required = true where directive_type = 'D2'").await;
    let (approved, denied) = (world.launch_cpu(1).await, world.launch_cpu(2).await);
    assert_eq!(admit(&world.pool, approved).await.unwrap(), Admission::Held(Hold::AwaitingApproval));
    assert_eq!(scan(&world).run_once().await.unwrap(), 0);
    let hold: String = world.scalar("select hold from runs where id = $1", approved.uuid()).await;
    assert_eq!(hold, "awaiting_approval");

    let boss = Actor::Key("boss".to_owned());
    let mut connection = world.pool.acquire().await.unwrap();
    for (run, decision) in [(approved, Approval::Approved), (denied, Approval::Denied)] {
        let decided = decide(&mut connection, run, decision, &DecisionRequest::default(), &boss).await;
        assert_eq!(decided.unwrap(), Decided::Now);
    }
    drop(connection);
    assert_eq!(scan(&world).run_once().await.unwrap(), 1);
    assert!(world.run_jobs(denied).await.iter().all(|job| job.status == RunJobStatus::Cancelled));
    CloseScan::new(world.pool.clone()).run_once().await.unwrap();
    assert_eq!(world.run_status(denied).await, RunStatus::Cancelled);
    assert_eq!(world.run_status(approved).await, RunStatus::Pending);
    assert_eq!(world.tick().run_once().await.unwrap().placed, 0, "no host; but it is among the waiting");
    assert_eq!(world.run_jobs(approved).await[0].waiting_reason.as_deref(), Some("no_host_known"));
}

#[tokio::test]
async fn the_wait_of_a_held_run_starts_with_its_admission() {
    let Some(world) = World::new().await else { return };
    world.execute("update directives set approval_required = true where directive_type = 'D2'").await;
    let run = world.launch_cpu(1).await;
    world.admit(run).await;
    sqlx::query("update run_jobs set deadline_at = now() + interval '1 second', not_before = now() - interval '1 day'")
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query("insert into run_approvals (run_id, decision, decided_by) values ($1, 'approved', 'test')")
        .bind(run.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    world.admit(run).await;
    let waited = world
        .count("select count(*) from run_jobs where deadline_at > now() + interval '23 hours' and not_before > now() - interval '1 minute'")
        .await;
    assert_eq!(waited, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_of_concurrent_runs_holds_under_concurrency_and_the_oldest_go_first() {
    const RUNS: usize = 12;
    const LIMIT_OF_RUNS: usize = 3;
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    world.execute("update directives set max_concurrent_runs = 3 where directive_type = 'D2'").await;
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..RUNS {
        runs.push(world.launch_cpu(1).await);
    }
    let admitted_now = "select count(*) from runs where admitted_at is not null and finished_at is null";
    let mut finished = 0;
    while finished < RUNS {
        // Everybody looks at every Run at once, as two schedulers' handlers and scans would.
        let mut looks = tokio::task::JoinSet::new();
        for run in runs.iter().chain(runs.iter().rev()) {
            let (pool, run) = (world.pool.clone(), *run);
            looks.spawn(async move { admit(&pool, run).await.unwrap() });
        }
        looks.join_all().await;
        // A young one that was looked at before an old one waits for another look.
        scan(&world).run_once().await.unwrap();
        let now = world.count(admitted_now).await;
        assert_eq!(now, LIMIT_OF_RUNS.min(RUNS - finished) as i64, "after {finished} have finished");
        drain(&world, &host).await;
        finished += CloseScan::new(world.pool.clone()).run_once().await.unwrap();
    }
    let order: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from runs order by finished_at, created_at, id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(order, runs.iter().map(|run| run.uuid()).collect::<Vec<_>>(), "the oldest first");
}

/// Neither counts for the other: the older one is still noted as unapproved, the younger one waits behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runs_approved_at_once_do_not_pass_the_limit_together() {
    const ROUNDS: usize = 20;
    let Some(world) = World::new().await else { return };
    world
        .execute("update directives set approval_required = true, max_concurrent_runs = 1 where directive_type = 'D2'")
        .await;
    for round in 0..ROUNDS {
        let pair = [world.launch_cpu(1).await, world.launch_cpu(1).await];
        for run in pair {
            assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Held(Hold::AwaitingApproval));
        }
        world
            .execute(
                "insert into run_approvals (run_id, decision, decided_by)
                 select id, 'approved', 'test' from runs where hold = 'awaiting_approval'",
            )
            .await;
        let (one, other) = tokio::join!(admit(&world.pool, pair[0]), admit(&world.pool, pair[1]));
        let outcomes = [one.unwrap(), other.unwrap()];
        let admitted =
            outcomes.iter().filter(|outcome| matches!(outcome, Admission::Admitted { .. })).count();
        assert_eq!(admitted, 1, "round {round}: {outcomes:?}");
        let mut connection = world.pool.acquire().await.unwrap();
        for run in pair {
            cyberbrain_common::cancel::cancel_run(&mut connection, run, &crate::world::LAUNCHER)
                .await
                .unwrap();
        }
        assert_eq!(CloseScan::new(world.pool.clone()).run_once().await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_closed_run_asks_for_the_next_one_of_its_directive() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    world.execute("update directives set max_concurrent_runs = 1 where directive_type = 'D2'").await;
    let (first, second) = (world.launch_cpu(1).await, world.launch_cpu(1).await);
    world.admit(first).await;
    assert_eq!(admit(&world.pool, second).await.unwrap(), Admission::Held(Hold::MaxConcurrentRuns));
    drain(&world, &host).await;
    world.execute("delete from apalis.jobs").await;
    CloseScan::new(world.pool.clone()).run_once().await.unwrap();
    let payload: Vec<u8> = sqlx::query_scalar("select job from apalis.jobs where job_type = 'runs'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(&second.to_string()));
    assert_eq!(admit(&world.pool, second).await.unwrap(), Admission::Admitted { run_jobs: 1 });
}

#[tokio::test]
async fn a_job_that_is_one_per_host_becomes_one_on_each_host_that_takes_work() {
    let Some(world) = World::new().await else { return };
    for name in ["gamma", "alpha", "beta", "cordoned", "silent"] {
        world.host(name, &[]).await;
    }
    world.execute("update hosts set cordoned = true where name = 'cordoned'").await;
    world.execute("update hosts set presence = 'silent' where name = 'silent'").await;
    let run = world
        .launch(json!({ "directive": "D4", "run_jobs": [
            { "job": "log_triage", "name": "triage" }, { "job": "gpu_report", "name": "report" },
        ] }))
        .await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Admitted { run_jobs: 4 });
    let names: BTreeSet<String> = world.run_jobs(run).await.into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["triage", "report", "triage@beta", "triage@gamma"].map(str::to_owned).into());

    assert_eq!(world.tick().run_once().await.unwrap().placed, 4);
    let placed: BTreeSet<(String, String)> = world
        .run_jobs(run)
        .await
        .into_iter()
        .filter(|job| job.name != "report")
        .map(|job| (job.name, job.host.unwrap()))
        .collect();
    let expected = [("triage", "alpha"), ("triage@beta", "beta"), ("triage@gamma", "gamma")];
    assert_eq!(placed, expected.map(|(name, host)| (name.to_owned(), host.to_owned())).into());
    let submitted = world
        .count("select count(*) from worker_audit where operation = 'submit' and run_job_id is not null")
        .await;
    assert_eq!(submitted, 4, "each RunJob has its audit row");
    let ordinals = world.count("select count(distinct ordinal) from run_jobs").await;
    assert_eq!(ordinals, 4);
}

#[tokio::test]
async fn without_a_host_a_job_that_is_one_per_host_waits_for_one() {
    let Some(world) = World::new().await else { return };
    let run = world.launch(json!({ "directive": "D1", "jobs": ["log_triage"] })).await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::NoHost);
    assert_eq!(world.run_jobs(run).await[0].waiting_reason.as_deref(), Some("no_host_known"));
    world.host("alpha", &[]).await;
    assert_eq!(scan(&world).run_once().await.unwrap(), 1);
    assert_eq!(world.tick().run_once().await.unwrap().placed, 1);
    assert_eq!(world.run_jobs(run).await[0].host.as_deref(), Some("alpha"));
}

#[tokio::test]
async fn a_fan_out_past_the_limit_of_a_run_fails_that_job_and_no_other() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[]).await;
    world.host("beta", &[]).await;
    let run = world
        .launch(json!({ "directive": "D4", "run_jobs": [{ "job": "gpu_report" }, { "job": "log_triage" }] }))
        .await;
    // As large as a Run may be.
    world
        .execute(
            "insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, deadline_at)
             select gen_random_uuid(), run_id, n, task_key, name, spec, submitter, shape, deadline_at
             from run_jobs, generate_series(100, 10097) n where task_key = 'gpu_report'",
        )
        .await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Admitted { run_jobs: 9_999 });
    let failed: Vec<(String, String)> =
        sqlx::query_as("select task_key, failure_detail from run_jobs where status = 'failed'")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let [(job, detail)] = &failed[..] else { panic!("one failed: {failed:?}") };
    assert_eq!(job, "log_triage");
    assert!(detail.contains("10001 run jobs"), "{detail}");
}

#[tokio::test]
async fn a_cancelled_run_is_not_admitted() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(1).await;
    let mut connection = world.pool.acquire().await.unwrap();
    cyberbrain_common::cancel::cancel_run(&mut connection, run, &crate::world::LAUNCHER).await.unwrap();
    drop(connection);
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::NotNeeded);
}

#[tokio::test]
async fn a_paused_queue_admits_nothing_until_it_goes_on() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(1).await;
    world.execute("insert into queue_pauses (queue, paused_by) values ('runs', 'test')").await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Paused);
    world.execute("delete from queue_pauses").await;
    let mut scan = scan(&world);
    wait_until("the run to be admitted", LIMIT, async || scan.run_once().await.unwrap() == 1).await;
}
