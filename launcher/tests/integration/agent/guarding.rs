//! The guard, on a real engine: what it does when nobody is in contact any more.

use cyberbrain_core::{
    ids::Fence,
    lifecycle::AttemptState,
    spec::{JobSpec, OnHostLost, Timeouts},
};
use cyberbrain_launcher::runtime::{ContainerName, Observation};
use cyberbrain_testkit::wait_until;

use super::world::{PATIENCE, World, spec};
use crate::guard::Guard;

#[tokio::test]
async fn workers_of_a_host_out_of_contact_are_stopped() {
    let Some(world) = World::new().await else { return };
    let guard = Guard::spawn(world.data.path());
    let launcher = world.launcher(&[]).await;
    wait_until("the host to be guarded", PATIENCE, async || {
        sqlx::query_scalar("select guarded from hosts").fetch_one(&world.pool).await.unwrap()
    })
    .await;
    let shell = |on_host_lost| JobSpec {
        command: vec!["/bin/sh".into(), "-c".into(), "sleep 600".into()],
        // Half of the silence after which the scheduler would give it away.
        timeouts: Timeouts { host_lost_seconds: 24, stop_grace_seconds: 1, ..Timeouts::default() },
        on_host_lost,
        ..spec()
    };
    let replaced = world.offer(world.job(shell(OnHostLost::Replace)).await).await;
    let waited_for = world.offer(world.job(shell(OnHostLost::Wait)).await).await;
    for attempt in [replaced, waited_for] {
        world.until_state(attempt, AttemptState::Running).await;
    }
    // The guard learns of both with the next contact.
    world.until_contacted(launcher.id, 1).await;
    let dead = launcher.id;
    launcher.kill();
    let name = |attempt| ContainerName::for_attempt(attempt, Fence(1));
    wait_until("the guard to stop it", PATIENCE, async || {
        matches!(world.engine.inspect(&name(replaced)).await, Observation::Exited(_))
    })
    .await;
    let other = world.engine.inspect(&name(waited_for)).await;
    assert!(matches!(other, Observation::Running { .. }), "its work waits for this host: {other:?}");
    drop(guard);

    world.declare_silent(dead).await;
    let _next = world.launcher(&[]).await;
    let row = world.until_released(replaced).await;
    assert_eq!(row.failure.as_deref(), Some("daemon_restarted"), "the machines' fault: {row:?}");
    let row = world.until_state(waited_for, AttemptState::Running).await;
    assert_eq!(row.fence, 2);
}
