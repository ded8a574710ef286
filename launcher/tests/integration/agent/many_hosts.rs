//! One process that plays many hosts through the whole protocol.

use std::time::Duration;

use cyberbrain_common::{
    db::transition::{Facts, Place, PlaceKind, Step, transition_all},
    ids::fresh,
    queue::{self, LaunchTask},
};
use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, GpuUuid, HostId, RunJobId},
    lifecycle::Event,
    spec::{ImageRef, JobSpec},
};
use cyberbrain_testkit::wait_until;
use sqlx::Connection;
use tokio::time::Instant;

use super::world::{PATIENCE, World, spec};

const HOSTS: usize = 12;
const JOBS: usize = 240;

#[tokio::test]
async fn a_dozen_hosts_with_eight_gpus_each_drain_their_work() {
    let Some((world, _)) = World::simulated().await else { return };
    let hosts = HOSTS.to_string();
    let launcher = world.fleet(&["--hosts", &hosts, "--gpus", "8x24576"]).await;
    let cards: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("select host_id, uuid from gpus where simulated order by host_id, index")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(cards.len(), HOSTS * 8);

    let spec = JobSpec { image: ImageRef::builtin(), command: Vec::new(), ..spec() };
    let mut jobs: Vec<RunJobId> = Vec::new();
    for _ in 0..JOBS {
        jobs.push(world.job(spec.clone()).await);
    }
    let begun = Instant::now();
    // Each card gets its share of the work, in one transaction per host and round.
    for (round, jobs) in jobs.chunks(cards.len()).enumerate() {
        let steps: Vec<(Step, LaunchTask)> = jobs
            .iter()
            .zip(&cards)
            .map(|(job, (host, card))| offer(*job, (*host).into(), GpuUuid::new(card.clone())))
            .collect();
        let mut connection = world.pool.acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let (steps, tasks): (Vec<Step>, Vec<LaunchTask>) = steps.into_iter().unzip();
        let outcomes = transition_all(&mut tx, &steps, &Actor::System("scheduler")).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "round {round}");
        queue::push(&mut tx, &tasks).await.unwrap();
        tx.commit().await.unwrap();
    }
    wait_until("all work to be done and given back", PATIENCE * 3, async || {
        let left: i64 = sqlx::query_scalar("select count(*) from attempts where released_at is null")
            .fetch_one(&world.pool)
            .await
            .unwrap();
        left == 0
    })
    .await;
    eprintln!("{JOBS} run jobs on {HOSTS} simulated hosts in {:?}", begun.elapsed());
    let good: i64 = sqlx::query_scalar("select count(*) from run_jobs where status = 'success'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(good).unwrap(), JOBS);
    let reserved: i64 = sqlx::query_scalar(
        "select coalesce(sum(reserved_mib), 0)::bigint + (select sum(open_attempts) from hosts) from gpus",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(reserved, 0, "every ledger is empty");
    wait_until("telemetry of every card", PATIENCE, async || {
        let seen: i64 = sqlx::query_scalar("select count(*) from gpu_observed where sample_seq > 0")
            .fetch_one(&world.pool)
            .await
            .unwrap();
        usize::try_from(seen).unwrap() == HOSTS * 8
    })
    .await;
    wait_until("the hosts' queues to be empty", Duration::from_secs(30), async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from apalis.jobs where status = 'Pending' and job_type like 'launch:%'",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        waiting == 0
    })
    .await;
    launcher.stop().await.unwrap();
}

fn offer(job: RunJobId, host: HostId, card: GpuUuid) -> (Step, LaunchTask) {
    let attempt: AttemptId = fresh();
    let place =
        Place { attempt, host, kind: PlaceKind::Gpu, gpus: vec![(card, 4_096)], reason: "its turn".into() };
    let facts = Facts { place: Some(place), ..Facts::default() };
    (Step { facts, ..Step::new(job, Event::Offer) }, LaunchTask { host, attempt })
}
