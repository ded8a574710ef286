//! A database that goes away while workers run.

use cyberbrain_core::{ids::Fence, lifecycle::AttemptState};
use cyberbrain_launcher::runtime::{ContainerName, Observation};
use cyberbrain_testkit::{
    chaos::{Mode, Proxy},
    wait_until,
};

use super::world::{PATIENCE, World};

#[tokio::test]
async fn what_ends_while_the_database_is_away_is_reported_when_it_is_back() {
    let Some((world, engine)) = World::simulated().await else { return };
    let proxy = Proxy::start(world.db.address().await).await.unwrap();
    let launcher = world.launcher_through(proxy.address(), &[]).await;
    let quick = world.simulation("run_ms=1500,exit=6").await;
    let slow = world.simulation("run_ms=20000").await;
    let (quick, slow) = (world.offer(quick).await, world.offer(slow).await);
    for attempt in [quick, slow] {
        world.until_state(attempt, AttemptState::Running).await;
    }
    proxy.set(Mode::Cut).await;
    wait_until("it to end unseen", PATIENCE, async || {
        let name = ContainerName::for_attempt(quick, Fence(1));
        matches!(
            cyberbrain_launcher::runtime::WorkerRuntime::inspect(engine.as_ref(), &name).await,
            Observation::Exited(_)
        )
    })
    .await;
    assert_eq!(world.row(quick).await.state, "running", "nobody could say so");
    proxy.set(Mode::Pass).await;
    let row = world.until_released(quick).await;
    assert_eq!(
        (row.exit_code, row.failure.as_deref(), row.fence),
        (Some(6), Some("nonzero_exit"), 1),
        "{row:?}"
    );
    world.until_contacted(launcher.id, 1).await;
    let row = world.until_released(slow).await;
    assert_eq!((row.status.as_str(), row.fence), ("success", 1), "it went on undisturbed: {row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn an_owner_that_comes_back_too_late_changes_nothing() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let proxy = Proxy::start(world.db.address().await).await.unwrap();
    let first = world.launcher_through(proxy.address(), &[]).await;
    let job = world.simulation("run_ms=3000,exit=6").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    proxy.set(Mode::Cut).await;
    // Taken for dead, while it lives and goes on watching its container.
    world.declare_silent(first.id).await;
    let second = world.launcher(&[]).await;
    let row = world.until_released(attempt).await;
    assert_eq!((row.launcher_id, row.fence), (Some(second.id.uuid()), 2), "{row:?}");
    proxy.set(Mode::Pass).await;
    world.until_contacted(first.id, 2).await;
    let audit = world.audit(job).await;
    assert_eq!(audit.iter().filter(|operation| *operation == "finish").count(), 1, "{audit:?}");
    assert_eq!(world.row(attempt).await.launcher_id, Some(second.id.uuid()));
    world.assert_clean().await;
}
