//! The tick: places, reasons, refusals, and hosts that refuse.

use std::time::{Duration, Instant};

use cyberbrain_common::{db::Pool, queue};
use cyberbrain_core::lifecycle::{Outcome, RunJobStatus};
use cyberbrain_scheduler::{Options, Reaper, Signal, StaleGpus, Tick, TickSummary};
use serde_json::json;

use crate::world::World;

async fn waiting_in_queue(pool: &Pool, prefix: &str) -> u64 {
    let stats = queue::stats(pool).await.unwrap();
    stats.iter().filter(|stats| stats.queue.to_string().starts_with(prefix)).map(|stats| stats.depth).sum()
}

#[tokio::test]
async fn a_place_comes_with_its_lease_its_audit_and_a_push_to_the_host() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let run = world.launch_gpu(&[8_000]).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 0, "not admitted yet");
    world.admit(run).await;
    let summary = world.tick().run_once().await.unwrap();
    assert_eq!(summary, TickSummary { placed: 1, ..TickSummary::default() });

    let job = world.run_jobs(run).await.remove(0);
    assert_eq!((job.status, job.host.as_deref(), job.attempts), (RunJobStatus::Assigned, Some("alpha"), 1));
    let leased: i32 = world.scalar("select reserved_mib from gpus where host_id = $1", host.id.uuid()).await;
    assert_eq!(leased, 8_000);
    let reason: String = world
        .scalar(
            "select selection_reason from worker_audit where run_job_id = $1 and operation = 'assign'",
            job.id.uuid(),
        )
        .await;
    assert!(reason.starts_with("best score: GPU-alpha-0 (score 0."), "{reason}");
    assert_eq!(waiting_in_queue(&world.pool, "launch:").await, 1);
    assert_eq!(host.accept(10).await.len(), 1);
}

#[tokio::test]
async fn one_refusing_host_does_not_hold_up_the_others() {
    let Some(world) = World::new().await else { return };
    // The refusing host looks best: it has the largest cards.
    world.host("refusing", &[80_000; 4]).await;
    world.host("willing", &[24_576; 4]).await;
    world
        .execute(
            "alter table hosts add constraint test_refusing check (name <> 'refusing' or open_attempts = 0)",
        )
        .await;
    let run = world.launch_gpu(&[2_000; 40]).await;
    world.admit(run).await;
    let mut tick = world.tick();
    let mut refusals = 0;
    let mut ticks = 0;
    while world.run_jobs(run).await.iter().any(|job| job.host.is_none()) {
        let summary = tick.run_once().await.unwrap();
        refusals += summary.refusing_hosts;
        ticks += 1;
        assert!(ticks <= 5, "the refusing host holds up the others: {summary:?}");
    }
    assert!(refusals >= 1, "it was never asked, so nothing was tested");
    assert!(world.run_jobs(run).await.iter().all(|job| job.host.as_deref() == Some("willing")));
    assert_eq!(world.count("select count(*) from attempts").await, 40);
    assert_eq!(waiting_in_queue(&world.pool, "launch:").await, 40, "nothing was pushed to the refusing host");
    eprintln!("one refusing host: {refusals} refusals, 40 run jobs placed elsewhere in {ticks} ticks");
}

#[tokio::test]
async fn reasons_are_written_when_they_change_and_only_then() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let run = world.launch_gpu(&[20_000, 20_000, 20_000]).await;
    world.admit(run).await;
    let mut tick = world.tick();
    let reasons = async || {
        let jobs = world.run_jobs(run).await;
        jobs.into_iter().map(|job| job.waiting_reason.unwrap_or_default()).collect::<Vec<_>>()
    };
    let versions = "select sum(('x' || lpad(xmin::text, 8, '0'))::bit(32)::bigint)::bigint from run_jobs where run_id = $1";
    assert_eq!(tick.run_once().await.unwrap().waiting, 2);
    assert_eq!(reasons().await, ["", "vram_short", "vram_short"]);
    let before: i64 = world.scalar(versions, run.uuid()).await;
    assert_eq!(tick.run_once().await.unwrap().waiting, 2);
    let after: i64 = world.scalar(versions, run.uuid()).await;
    assert_eq!(before, after, "nothing changed, so nothing was written");

    world.execute("update gpus set cordoned = true").await;
    tick.run_once().await.unwrap();
    assert_eq!(reasons().await, ["", "gpu_cordoned", "gpu_cordoned"]);
    world.execute("update gpus set cordoned = false").await;
    let taken = host.accept(1).await;
    host.start(&taken).await;
    host.finish(&taken, Outcome::Success).await;
    assert_eq!(tick.run_once().await.unwrap().placed, 1);
    assert_eq!(reasons().await, ["", "", "vram_short"]);
}

#[tokio::test]
async fn what_no_known_host_could_take_fails_with_a_reason() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_gpu(&[99_999]).await;
    world.admit(run).await;
    let mut tick = world.tick();
    assert_eq!(tick.run_once().await.unwrap().infeasible, 0, "nothing is known, so nothing is impossible");
    assert_eq!(world.run_jobs(run).await[0].waiting_reason.as_deref(), Some("no_host_known"));
    world.host("alpha", &[24_576]).await;
    assert_eq!(tick.run_once().await.unwrap().infeasible, 1);
    let job = world.run_jobs(run).await.remove(0);
    assert_eq!((job.status, job.failure.as_deref()), (RunJobStatus::Failed, Some("infeasible")));
    let detail: String =
        world.scalar("select failure_detail from run_jobs where id = $1", job.id.uuid()).await;
    assert!(detail.contains("99999 MiB of VRAM are asked for"), "{detail}");
}

#[tokio::test]
async fn nothing_is_placed_on_a_gpu_whose_samples_stand_still() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let stale = StaleGpus::default();
    let mut reaper = Reaper::new(world.pool.clone(), stale.clone(), Signal::default());
    let mut tick = Tick::new(world.pool.clone(), Options::new("test").placement, stale);
    for second in (0..=16).step_by(2) {
        host.contact(cyberbrain_common::db::contact::GuardState::Absent).await;
        reaper.run_once(second * 1_000).await.unwrap();
    }
    let run = world.launch_gpu(&[1_000]).await;
    world.admit(run).await;
    assert_eq!(tick.run_once().await.unwrap().placed, 0);
    assert_eq!(world.run_jobs(run).await[0].waiting_reason.as_deref(), Some("telemetry_stale"));
    host.sample().await;
    reaper.run_once(18_000).await.unwrap();
    assert_eq!(tick.run_once().await.unwrap().placed, 1);
}

#[tokio::test]
async fn a_paused_queue_places_nothing() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[]).await;
    let run = world.launch_cpu(1).await;
    world.admit(run).await;
    let mut tick = world.tick();
    for pause in [
        "insert into queue_pauses (queue, paused_by) values ('run_jobs', 'test')",
        "insert into queue_pauses (queue, paused_by) values ('launch', 'test')",
    ] {
        world.execute(pause).await;
        assert_eq!(tick.run_once().await.unwrap().placed, 0, "{pause}");
        world.execute("delete from queue_pauses").await;
    }
    assert_eq!(tick.run_once().await.unwrap().placed, 1);
}

#[tokio::test]
async fn a_specification_that_cannot_be_read_spoils_only_its_own_class() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[]).await;
    let run = world.launch_cpu(3).await;
    world.admit(run).await;
    let spoil = "update run_jobs set spec = '{}', shape = 'spoilt' where id = (
        select id from run_jobs order by ordinal limit 1)";
    world.execute(spoil).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 2);
}

#[tokio::test]
async fn higher_priority_goes_first_and_submitters_take_turns() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    sqlx::query("update hosts set max_attempts = 4 where id = $1")
        .bind(host.id.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    let jobs = |count: usize| json!(vec![json!({ "job": "gpu_report" }); count]);
    let many = world.launch_as("greedy", json!({ "directive": "D2", "run_jobs": jobs(10) })).await;
    let few = world.launch_as("modest", json!({ "directive": "D2", "run_jobs": jobs(1) })).await;
    let urgent =
        world.launch_as("greedy", json!({ "directive": "D2", "priority": 5, "run_jobs": jobs(1) })).await;
    for run in [many, few, urgent] {
        world.admit(run).await;
    }
    assert_eq!(world.tick().run_once().await.unwrap().placed, 4);
    let placed = async |run| world.run_jobs(run).await.iter().filter(|job| job.host.is_some()).count();
    assert_eq!((placed(urgent).await, placed(few).await, placed(many).await), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_run_jobs_are_placed_in_bounded_ticks() {
    const RUN_JOBS: usize = 4_000;
    let Some(world) = World::new().await else { return };
    for number in 0..20 {
        world.host(&format!("host-{number:02}"), &[80_000; 8]).await;
    }
    let runs =
        [world.launch_gpu(&[2_000; RUN_JOBS / 2]).await, world.launch_gpu(&[1_000; RUN_JOBS / 2]).await];
    for run in runs {
        world.admit(run).await;
    }
    let mut tick = world.tick();
    let (mut placed, mut ticks, mut longest) = (0, 0, Duration::ZERO);
    let started = Instant::now();
    while placed < RUN_JOBS as u64 {
        let begun = Instant::now();
        let summary = tick.run_once().await.unwrap();
        longest = longest.max(begun.elapsed());
        assert!(summary.placed > 0 && summary.placed <= 2_000, "{summary:?}");
        assert_eq!(summary.refusing_hosts, 0, "{summary:?}");
        placed += summary.placed;
        ticks += 1;
        assert_eq!(summary.more, placed < RUN_JOBS as u64, "{summary:?}");
    }
    let elapsed = started.elapsed();
    eprintln!(
        "placement: {placed} run jobs on 20 hosts with 160 GPUs in {ticks} ticks, longest {longest:?}, {:.0} decisions/s",
        placed as f64 / elapsed.as_secs_f64()
    );
}
