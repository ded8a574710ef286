//! An engine that fails, and what nobody may conclude from it. Simulated, so that each fault comes to order.

use std::time::Duration;

use cyberbrain_core::{ids::Fence, lifecycle::AttemptState};
use cyberbrain_launcher::runtime::{
    ContainerName, EngineCall, Fault, FaultEffect, Observation, WorkerRuntime,
};
use cyberbrain_testkit::wait_until;

use super::world::{PATIENCE, World};

#[tokio::test]
async fn a_lost_answer_ends_nothing_and_starts_nothing_twice() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    for call in [EngineCall::Create, EngineCall::Start, EngineCall::Remove] {
        for effect in [FaultEffect::Done, FaultEffect::None] {
            for fault in [Fault::Timeout, Fault::Unreachable] {
                let what = format!("{call} {fault:?} {effect:?}");
                let job = world.simulation("run_ms=50").await;
                engine.faults().fail_next(call, fault, effect);
                let row = world.until_released(world.offer(job).await).await;
                assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{what}: {row:?}");
                let audit = world.audit(job).await;
                for once in ["spawn", "start", "finish", "remove"] {
                    assert_eq!(
                        audit.iter().filter(|found| *found == once).count(),
                        1,
                        "{what}: {once} in {audit:?}"
                    );
                }
            }
        }
    }
    world.assert_clean().await;
}

#[tokio::test]
async fn an_engine_that_keeps_saying_no_is_believed_in_the_end() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    for call in [EngineCall::Create, EngineCall::Start] {
        for _ in 0..3 {
            engine.faults().fail_next(call, Fault::Engine { status: 500 }, FaultEffect::None);
        }
        let job = world.simulation("run_ms=50").await;
        let row = world.until_released(world.offer(job).await).await;
        assert_eq!(row.failure.as_deref(), Some("engine_error"), "{call}: {row:?}");
    }
    world.assert_clean().await;
}

#[tokio::test]
async fn a_silent_engine_proves_nothing_and_the_true_end_is_found_later() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=300,exit=4").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    engine.faults().cut();
    // It ends while nobody can ask. Asked directly, past the line that is cut:
    tokio::time::sleep(Duration::from_millis(600)).await;
    let row = world.row(attempt).await;
    assert_eq!((row.state.as_str(), row.released), ("running", false), "silence is no end: {row:?}");
    engine.faults().mend();
    let row = world.until_released(attempt).await;
    assert_eq!((row.exit_code, row.failure.as_deref()), (Some(4), Some("nonzero_exit")), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn after_a_reboot_the_attempt_is_the_hosts_fault() {
    let Some((world, engine)) = World::simulated().await else { return };
    let first = world.launcher(&[]).await;
    let job = world.simulation("run_ms=600000").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    first.stop().await.unwrap();
    engine.reboot();
    let _second = world.launcher(&[]).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.failure.as_deref(), Some("host_rebooted"), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_container_that_vanishes_is_missed() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=600000").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    engine.vanish(&ContainerName::for_attempt(attempt, Fence(1)));
    let row = world.until_released(attempt).await;
    assert_eq!(row.failure.as_deref(), Some("container_missing"), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_stop_that_fails_is_tried_again() {
    let Some((world, engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=600000").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    engine.faults().fail_next(EngineCall::Stop, Fault::Unreachable, FaultEffect::None);
    world.step(job, cyberbrain_core::lifecycle::Event::Cancel).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "cancelled", "{row:?}");
    wait_until("the container to be gone", PATIENCE, async || {
        let name = ContainerName::for_attempt(attempt, Fence(1));
        matches!(engine.inspect(&name).await, Observation::Absent)
    })
    .await;
    world.assert_clean().await;
}
