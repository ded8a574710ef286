//! Deadlines: nothing stays in an unfinished state for ever.

use cyberbrain_common::db::contact::GuardState;
use cyberbrain_core::{
    ids::Fence,
    lifecycle::{Outcome, RunJobStatus, RunStatus},
};
use cyberbrain_scheduler::{CloseScan, DeadlineSummary, Deadlines, Signal};

use crate::world::World;

fn deadlines(world: &World) -> Deadlines {
    Deadlines::new(world.pool.clone(), Signal::default())
}

#[tokio::test]
async fn an_offer_that_nobody_takes_is_withdrawn_and_placed_again_at_once() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let run = world.launch_gpu(&[20_000]).await;
    world.admit(run).await;
    world.tick().run_once().await.unwrap();
    assert_eq!(deadlines(&world).run_once().await.unwrap(), DeadlineSummary::default(), "it is young");
    world.execute("update attempts set deadline_at = now() - interval '1 second'").await;
    let summary = deadlines(&world).run_once().await.unwrap();
    assert_eq!(summary, DeadlineSummary { withdrawn: 1, ..DeadlineSummary::default() });
    assert_eq!(world.run_jobs(run).await[0].status, RunJobStatus::Pending);
    assert_eq!(world.count("select reserved_mib::bigint from gpus").await, 0, "the place is free again");

    assert_eq!(world.tick().run_once().await.unwrap().placed, 1, "placed again at once");
    let job = world.run_jobs(run).await.remove(0);
    assert_eq!((job.status, job.attempts), (RunJobStatus::Assigned, 2));
    let spent = world.count("select (user_failures + infra_failures)::bigint from run_jobs").await;
    assert_eq!(spent, 0, "nobody touched it, so it costs nothing");
    let taken = host.accept(1).await;
    host.start(&taken).await;
    host.finish(&taken, Outcome::Success).await;
    assert_eq!(world.run_jobs(run).await[0].status, RunJobStatus::Success);
}

#[tokio::test]
async fn a_run_job_that_waits_too_long_fails_and_its_run_is_closed() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[8_000]).await;
    let run = world.launch_gpu(&[7_000, 7_000]).await;
    world.admit(run).await;
    world.tick().run_once().await.unwrap();
    world.execute("update run_jobs set deadline_at = now() - interval '1 second'").await;
    let summary = deadlines(&world).run_once().await.unwrap();
    assert_eq!(
        summary,
        DeadlineSummary { timed_out: 1, ..DeadlineSummary::default() },
        "only the one that waits"
    );
    let failed =
        world.run_jobs(run).await.into_iter().find(|job| job.status == RunJobStatus::Failed).unwrap();
    assert_eq!(failed.failure.as_deref(), Some("timeout_queue"));
    let detail: String =
        world.scalar("select failure_detail from run_jobs where id = $1", failed.id.uuid()).await;
    assert_eq!(detail, "it got no place within 86400 s; last reason: vram_short");
}

#[tokio::test]
async fn a_run_that_nobody_admits_times_out_as_well() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(1).await;
    world.execute("update run_jobs set deadline_at = now() - interval '1 second'").await;
    assert_eq!(deadlines(&world).run_once().await.unwrap().timed_out, 1);
    assert_eq!(CloseScan::new(world.pool.clone()).run_once().await.unwrap(), 1);
    assert_eq!(world.run_status(run).await, RunStatus::Failed);
}

#[tokio::test]
async fn an_attempt_that_its_owner_left_behind_is_open_for_adoption() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    let run = world.launch_cpu(1).await;
    world.admit(run).await;
    world.tick().run_once().await.unwrap();
    let taken = host.accept(1).await;
    host.start(&taken).await;
    assert_eq!(deadlines(&world).run_once().await.unwrap(), DeadlineSummary::default());
    world.execute("update attempts set deadline_at = now() - interval '1 second'").await;
    let summary = deadlines(&world).run_once().await.unwrap();
    assert_eq!(summary, DeadlineSummary { orphaned: 1, ..DeadlineSummary::default() });

    host.contact(GuardState::Absent).await;
    let sibling = host.sibling().await;
    let adopted = sibling.adopt(10).await;
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].fence, Fence(taken[0].fence.0 + 1));
    sibling.finish(&adopted, Outcome::Success).await;
    assert_eq!(world.run_jobs(run).await[0].attempts, 1, "no second attempt was needed");
}

#[tokio::test]
async fn rows_that_cannot_be_moved_do_not_hide_the_others() {
    let Some(world) = World::new().await else { return };
    let run = world.launch_cpu(450).await;
    // Three rotten rows in front of the others, the first of them alone on its page for a while.
    world
        .execute(
            "update run_jobs set deadline_at = now() - interval '1 hour' + ordinal * interval '1 second',
                 spec = case when ordinal in (1, 2, 300) then jsonb_set(spec, '{resources}', '\"rotten\"') else spec end",
        )
        .await;
    let summary = deadlines(&world).run_once().await.unwrap();
    assert_eq!(summary.timed_out, 447);
    let open = world.run_jobs(run).await.iter().filter(|job| job.status == RunJobStatus::Pending).count();
    assert_eq!(open, 3);
}
