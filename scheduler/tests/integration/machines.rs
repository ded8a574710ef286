//! What people decide about machines and queues, as placement sees it.

use cyberbrain_common::{
    machines::{Error, GpuVerb, HostVerb, change_gpu, change_host},
    pausing::{PauseRequest, PauseVerb, change},
    queue::QueueKind,
    reason::ReasonRequest,
};
use cyberbrain_core::{audit::Actor, lifecycle::RunJobStatus};
use cyberbrain_scheduler::{Admission, admit};

use crate::world::{Host, World};

fn boss() -> Actor {
    Actor::Key("boss".to_owned())
}

fn reason() -> ReasonRequest {
    ReasonRequest { reason: "a test".to_owned() }
}

async fn host(world: &World, host: &Host, verb: HostVerb) {
    let mut connection = world.pool.acquire().await.unwrap();
    change_host(&mut connection, host.id, verb, &reason(), &boss()).await.unwrap();
}

async fn queues(world: &World, queue: Option<QueueKind>, verb: PauseVerb) {
    let request = PauseRequest { queue, reason: "a test".to_owned() };
    change(&mut world.pool.acquire().await.unwrap(), verb, &request, &boss()).await.unwrap();
}

async fn placed(world: &World) -> u64 {
    world.tick().run_once().await.unwrap().placed
}

#[tokio::test]
async fn nothing_is_placed_on_a_cordoned_or_draining_host_until_it_is_uncordoned() {
    let Some(world) = World::new().await else { return };
    let only = world.host("alpha", &[24_576]).await;
    for verb in [HostVerb::Cordon, HostVerb::Drain] {
        host(&world, &only, verb).await;
        let run = world.launch_gpu(&[2_000]).await;
        world.admit(run).await;
        assert_eq!(placed(&world).await, 0, "{verb}");
        assert_eq!(world.run_jobs(run).await[0].status, RunJobStatus::Pending);
        host(&world, &only, HostVerb::Uncordon).await;
        assert_eq!(placed(&world).await, 1, "{verb}");
    }
}

#[tokio::test]
async fn what_runs_on_a_drained_host_goes_on() {
    let Some(world) = World::new().await else { return };
    let only = world.host("alpha", &[24_576]).await;
    let run = world.launch_gpu(&[2_000]).await;
    world.admit(run).await;
    assert_eq!(placed(&world).await, 1);
    let taken = only.accept(1).await;
    host(&world, &only, HostVerb::Drain).await;
    only.start(&taken).await;
    only.finish(&taken, cyberbrain_core::lifecycle::Outcome::Success).await;
    assert_eq!(world.run_jobs(run).await[0].status, RunJobStatus::Success);
}

#[tokio::test]
async fn nothing_is_placed_on_a_cordoned_card() {
    let Some(world) = World::new().await else { return };
    // The first card is the better one.
    let only = world.host("alpha", &[48_000, 24_000]).await;
    let mut connection = world.pool.acquire().await.unwrap();
    change_gpu(&mut connection, only.gpus[0].as_str(), GpuVerb::Cordon, &reason(), &boss()).await.unwrap();
    let run = world.launch_gpu(&[4_000, 4_000]).await;
    world.admit(run).await;
    assert_eq!(placed(&world).await, 2);
    let on_cordoned = "select count(*) from gpu_leases where gpu_uuid = 'GPU-alpha-0'";
    assert_eq!(world.count(on_cordoned).await, 0);
    change_gpu(&mut connection, only.gpus[0].as_str(), GpuVerb::Uncordon, &reason(), &boss()).await.unwrap();
    let run = world.launch_gpu(&[30_000]).await;
    world.admit(run).await;
    assert_eq!(placed(&world).await, 1);
    assert_eq!(world.count(on_cordoned).await, 1);
}

#[tokio::test]
async fn a_forgotten_host_is_planned_with_no_more_until_it_registers_anew() {
    let Some(world) = World::new().await else { return };
    let gone = world.host("alpha", &[80_000]).await;
    world.host("beta", &[24_000]).await;
    let forget = async || {
        let mut connection = world.pool.acquire().await.unwrap();
        change_host(&mut connection, gone.id, HostVerb::Forget, &reason(), &boss()).await
    };
    assert!(matches!(forget().await, Err(Error::InContact { launchers: 1, .. })));
    world.execute("update launchers set state = 'silent' where host_id = (select id from hosts where name = 'alpha')").await;
    forget().await.unwrap();
    let run = world.launch_gpu(&[4_000, 40_000]).await;
    world.admit(run).await;
    assert_eq!(placed(&world).await, 1, "on the other one");
    assert_eq!(world.run_jobs(run).await[1].host, None);
    let back = world.host("alpha", &[80_000]).await;
    assert_eq!(back.id, gone.id, "it is the same one");
    let listed = "select count(*) from hosts where forgotten_at is null";
    assert_eq!(world.count(listed).await, 2);
}

#[tokio::test]
async fn a_paused_queue_admits_or_places_nothing_until_it_is_resumed() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[]).await;
    let run = world.launch_cpu(2).await;
    queues(&world, Some(QueueKind::Runs), PauseVerb::Pause).await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Paused);
    queues(&world, Some(QueueKind::Runs), PauseVerb::Resume).await;
    assert_eq!(admit(&world.pool, run).await.unwrap(), Admission::Admitted { run_jobs: 2 });
    for queue in [Some(QueueKind::RunJobs), None] {
        queues(&world, queue, PauseVerb::Pause).await;
        assert_eq!(placed(&world).await, 0, "{queue:?}");
    }
    queues(&world, None, PauseVerb::Resume).await;
    assert_eq!(placed(&world).await, 2);
}
