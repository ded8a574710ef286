//! Containers and rows that do not fit together.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_common::{db::machines::last_cleanup, ids::fresh, machines::request_cleanup};
use cyberbrain_core::{
    audit::Actor,
    ids::{AttemptId, Fence, InstanceId},
    lifecycle::{AttemptState, Event, FailureKind},
    spec::{Network, Resources},
};
use cyberbrain_launcher::runtime::{
    ContainerName, ContainerPlan, ImageId, Labels, Mounts, Observation, Purpose, User, WorkerLabels,
    WorkerRuntime,
};
use cyberbrain_testkit::wait_for;

use super::world::{PATIENCE, World};

fn container(instance: InstanceId, attempt: AttemptId, fence: i32) -> ContainerPlan {
    ContainerPlan {
        name: ContainerName::for_attempt(attempt, Fence(fence)),
        labels: Labels {
            instance,
            purpose: Purpose::Worker(WorkerLabels {
                run_id: fresh(),
                run_job_id: fresh(),
                attempt_id: attempt,
                attempt: 1,
                task_key: "custom_job".into(),
            }),
        },
        image: ImageId::parse(format!("sha256:{}", "7".repeat(64))).unwrap(),
        command: Vec::new(),
        env: BTreeMap::from([("CYBERBRAIN_SIMULATE".to_owned(), "run_ms=600000".to_owned())]),
        resources: Resources::default(),
        gpus: Vec::new(),
        mounts: Mounts::default(),
        user: User::NONROOT,
        network: Network::None,
        stop_grace: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn an_attempt_that_was_given_up_is_stopped_and_its_place_comes_back() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=600000").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    world.step(job, Event::Lose { failure: FailureKind::HostLost }).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.state, "lost", "{row:?}");
    let name = ContainerName::for_attempt(attempt, Fence(1));
    assert!(matches!(engine.inspect(&name).await, Observation::Absent));
    world.assert_clean().await;
}

#[tokio::test]
async fn what_we_own_without_knowing_is_taken_up() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=50").await;
    sqlx::query("insert into queue_pauses (queue, paused_by) values ('launch', 'test')")
        .execute(&world.pool)
        .await
        .unwrap();
    let attempt = world.offer(job).await;
    // As if the commit of an acceptance had come through and its answer had not.
    world.step_as(job, Event::Accept { fence: Fence(1) }, launcher.id).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_paused_queue_gives_no_work() {
    let Some((world, _engine)) = World::simulated().await else { return };
    sqlx::query("insert into queue_pauses (queue, paused_by) values ('launch', 'test')")
        .execute(&world.pool)
        .await
        .unwrap();
    let launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=50").await;
    let attempt = world.offer(job).await;
    // Contact has seen the offer at least once, and more than the push was tried.
    world.until_contacted(launcher.id, 2).await;
    assert_eq!(world.row(attempt).await.state, "offered");
    sqlx::query("delete from queue_pauses").execute(&world.pool).await.unwrap();
    assert_eq!(world.until_released(attempt).await.status, "success");
}

#[tokio::test]
async fn a_stray_is_told_of_and_left_alone() {
    let Some((world, engine)) = World::simulated().await else { return };
    let stray = container(world.instance, fresh(), 1);
    engine.create(&stray).await.unwrap();
    engine.start(&stray.name).await.unwrap();
    let _launcher = world.launcher(&[]).await;
    let told = wait_for("the alert", PATIENCE, async || {
        let rows: Vec<String> =
            sqlx::query_scalar("select error from worker_audit where operation = 'error' and not success")
                .fetch_all(&world.pool)
                .await
                .unwrap();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(told.len(), 1, "once");
    assert!(told[0].contains(stray.name.as_str()), "{told:?}");
    assert!(matches!(engine.inspect(&stray.name).await, Observation::Running { .. }), "it lives");
}

#[tokio::test]
async fn a_cleanup_that_was_asked_for_removes_what_is_over_and_tells_what_it_saw() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=50").await;
    let over = world.offer(job).await;
    world.until_released(over).await;
    // As if the engine had brought it back, and one that nobody knows.
    let (back, stray) = (container(world.instance, over, 1), container(world.instance, fresh(), 1));
    for plan in [&back, &stray] {
        engine.create(plan).await.unwrap();
        engine.start(&plan.name).await.unwrap();
    }
    let mut connection = world.pool.acquire().await.unwrap();
    let host = world.host().await;
    request_cleanup(&mut connection, host, &Actor::Key("boss".to_owned())).await.unwrap();
    let counts = wait_for("the outcome", PATIENCE, async || {
        let cleanup = last_cleanup(&mut world.pool.acquire().await.unwrap(), host).await.unwrap().unwrap();
        cleanup.done.map(|done| done.counts)
    })
    .await;
    assert_eq!((counts.quarantined, counts.seen >= 1), (1, true), "{counts:?}");
    assert!(matches!(engine.inspect(&back.name).await, Observation::Absent), "it is over");
    assert!(
        matches!(engine.inspect(&stray.name).await, Observation::Running { .. }),
        "nobody knows whose it is"
    );
}

#[tokio::test]
async fn a_foreign_container_of_our_name_is_refused_and_not_touched() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let attempt = fresh();
    let foreign = container(fresh(), attempt, 1);
    engine.create(&foreign).await.unwrap();
    let job = world.simulation("run_ms=50").await;
    world.offer_as(job, attempt).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.failure.as_deref(), Some("engine_error"), "{row:?}");
    assert!(row.failure_detail.unwrap().contains("not ours"));
    assert!(world.audit(job).await.contains(&"error".to_owned()));
    assert!(matches!(engine.inspect(&foreign.name).await, Observation::Created), "it is still there");
}

#[tokio::test]
async fn a_slow_owners_late_container_is_removed_unstarted() {
    let Some((world, engine)) = World::simulated().await else { return };
    let nobody = {
        let launcher = world.launcher(&[]).await;
        launcher.stop().await.unwrap();
        world.launchers_of_nobody().await
    };
    // The first owner has committed that it will create, and then falls silent.
    let job = world.simulation("run_ms=1500").await;
    let attempt = world.offer(job).await;
    world.step_as(job, Event::Accept { fence: Fence(1) }, nobody).await;
    world.step(job, Event::Begin { fence: Fence(1) }).await;
    world.declare_silent(nobody).await;
    let _launcher = world.launcher(&[]).await;
    let row = world.until_state(attempt, AttemptState::Running).await;
    assert_eq!(row.fence, 2);
    // Its create arrives now. It will find its fence gone and not start it.
    let late = container(world.instance, attempt, 1);
    engine.create(&late).await.unwrap();
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    wait_for("the late one to be removed", PATIENCE, async || {
        matches!(engine.inspect(&late.name).await, Observation::Absent).then_some(())
    })
    .await;
    world.assert_clean().await;
}
