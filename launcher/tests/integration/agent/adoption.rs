//! Launchers that die, and those who take over from them.

use cyberbrain_core::{ids::Fence, lifecycle::AttemptState};
use cyberbrain_launcher::runtime::{ContainerName, Error};
use cyberbrain_testkit::{wait_for, wait_until};
use std::time::Duration;

use super::world::{GOOD, PATIENCE, World};

/// Counts, says so, and ends well once it is told to.
fn counting() -> String {
    format!(
        "n=0; while ! test -e /logs/go; do n=$((n+1)); echo line $n; sleep 0.05; done; echo the end; {GOOD}"
    )
}

#[tokio::test]
async fn a_running_container_is_adopted_and_its_log_goes_on_without_loss() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let (job, attempt) = world.offered(&counting()).await;
    let before = world.until_state(attempt, AttemptState::Running).await;
    let dir = world.attempt_dir(job, attempt);
    wait_until("some output", PATIENCE, async || {
        std::fs::read_to_string(dir.join("container-f1.log")).is_ok_and(|log| log.contains("line 5\n"))
    })
    .await;
    let dead = first.id;
    first.kill();
    world.declare_silent(dead).await;
    let second = world.launcher(&[]).await;
    let row = wait_for("the adoption", PATIENCE, async || {
        let row = world.row(attempt).await;
        (row.launcher_id == Some(second.id.uuid())).then_some(row)
    })
    .await;
    assert_eq!((row.state.as_str(), row.fence), ("running", 2));
    wait_until("the second segment", PATIENCE, async || {
        std::fs::metadata(dir.join("container-f2.log")).is_ok_and(|segment| segment.len() > 0)
    })
    .await;
    let names: Vec<_> =
        world.engine.list_ours(world.instance).await.unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, [ContainerName::for_attempt(attempt, Fence(2))], "one container, under the new fence");
    std::fs::write(dir.join("out/go"), "").unwrap();
    let row = world.until_released(attempt).await;
    assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{row:?}");
    assert_eq!(row.container_id, before.container_id, "it never was another container");

    let log = |n| std::fs::read_to_string(dir.join(format!("container-f{n}.log"))).unwrap();
    let mut counted = Vec::new();
    for line in log(1).lines().chain(log(2).lines()) {
        counted.extend(line.rsplit_once("line ").and_then(|(_, n)| n.parse::<u32>().ok()));
    }
    counted.dedup();
    let all: Vec<u32> = (1..=*counted.last().unwrap()).collect();
    assert_eq!(counted, all, "each line once, none lost");
    assert!(log(2).contains("the end"));
    let audit = world.audit(job).await;
    assert_eq!(audit.iter().filter(|operation| *operation == "adopt").count(), 1, "{audit:?}");
    assert_eq!(audit.iter().filter(|operation| *operation == "start").count(), 1, "{audit:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn what_ended_while_nobody_watched_keeps_its_exit_code() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let (_, failing) =
        world.offered("while ! test -e /logs/go; do sleep 0.05; done; echo last words; exit 5").await;
    let (_, fine) = world.offered(&format!("while ! test -e /logs/go; do sleep 0.05; done; {GOOD}")).await;
    for attempt in [failing, fine] {
        world.until_state(attempt, AttemptState::Running).await;
    }
    let dead = first.id;
    first.kill();
    for attempt in [failing, fine] {
        let job: uuid::Uuid = sqlx::query_scalar("select run_job_id from attempts where id = $1")
            .bind(attempt.uuid())
            .fetch_one(&world.pool)
            .await
            .unwrap();
        std::fs::write(world.attempt_dir(job.into(), attempt).join("out/go"), "").unwrap();
        let name = ContainerName::for_attempt(attempt, Fence(1));
        tokio::time::timeout(PATIENCE, world.engine.wait(&name)).await.unwrap();
    }
    world.declare_silent(dead).await;
    let _second = world.launcher(&[]).await;
    let row = world.until_released(failing).await;
    assert_eq!(
        (row.status.as_str(), row.exit_code, row.failure.as_deref()),
        ("failed", Some(5), Some("nonzero_exit"))
    );
    let row = world.until_released(fine).await;
    assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_sibling_adopts_without_a_restart() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let second = world.launcher(&[]).await;
    // Whoever took it dies.
    let (job, attempt) = world.offered(&counting()).await;
    let row = world.until_state(attempt, AttemptState::Running).await;
    let (victim, survivor) =
        if row.launcher_id == Some(first.id.uuid()) { (first, second) } else { (second, first) };
    let dead = victim.id;
    victim.kill();
    world.declare_silent(dead).await;
    wait_until("the sibling to adopt", PATIENCE, async || {
        world.row(attempt).await.launcher_id == Some(survivor.id.uuid())
    })
    .await;
    std::fs::write(world.attempt_dir(job, attempt).join("out/go"), "").unwrap();
    assert_eq!(world.until_released(attempt).await.status, "success");
    world.assert_clean().await;
}

#[tokio::test]
async fn an_old_owner_can_do_nothing_after_the_rename() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let (job, attempt) = world.offered(&counting()).await;
    world.until_state(attempt, AttemptState::Running).await;
    // The first launcher lives on, but is taken for dead: it hears of it at its next contact only.
    world.declare_silent(first.id).await;
    let second = world.launcher(&[]).await;
    wait_until("somebody to take over", PATIENCE, async || {
        let row = world.row(attempt).await;
        row.fence == 2 && row.launcher_id.is_some()
    })
    .await;
    wait_until("the rename", PATIENCE, async || {
        let listed = world.engine.list_ours(world.instance).await.unwrap();
        listed[0].name == ContainerName::for_attempt(attempt, Fence(2))
    })
    .await;
    let old = ContainerName::for_attempt(attempt, Fence(1));
    let engine = world.engine.as_ref();
    let answers = [
        engine.start(&old).await,
        engine.stop(&old, Duration::ZERO).await,
        engine.kill(&old).await,
        engine.remove(&old).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    let row = world.row(attempt).await;
    assert_eq!((row.state.as_str(), row.fence), ("running", 2), "it runs on");
    std::fs::write(world.attempt_dir(job, attempt).join("out/go"), "").unwrap();
    let row = world.until_released(attempt).await;
    assert_eq!((row.status.as_str(), row.fence), ("success", 2), "{row:?}");
    drop((first, second));
    world.assert_clean().await;
}

#[tokio::test]
async fn a_container_that_somebody_removed_is_noticed() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let (_, attempt) = world.offered("sleep 60").await;
    world.until_state(attempt, AttemptState::Running).await;
    let name = ContainerName::for_attempt(attempt, Fence(1));
    world.engine.kill(&name).await.unwrap();
    let row = match world.engine.remove(&name).await {
        // The launcher may be quicker: it then saw a kill from outside.
        Ok(()) | Err(_) => world.until_released(attempt).await,
    };
    let seen = row.failure.as_deref();
    assert!(matches!(seen, Some("container_missing" | "daemon_restarted")), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_launcher_that_is_asked_to_end_hands_over() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let (job, attempt) = world.offered(&counting()).await;
    world.until_state(attempt, AttemptState::Running).await;
    first.stop().await.unwrap();
    let row = world.row(attempt).await;
    assert_eq!((row.state.as_str(), row.fence, row.launcher_id), ("running", 2, None), "an orphan at once");
    let listed = world.engine.list_ours(world.instance).await.unwrap();
    assert_eq!(listed.len(), 1, "and its container lives");
    let _second = world.launcher(&[]).await;
    std::fs::write(world.attempt_dir(job, attempt).join("out/go"), "").unwrap();
    assert_eq!(world.until_released(attempt).await.status, "success");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_launcher_that_takes_its_workers_with_it_leaves_nothing() {
    let Some(world) = World::new().await else { return };
    let launcher = world.launcher(&["--stop-workers-on-exit"]).await;
    let (_, attempt) = world.offered("sleep 60").await;
    world.until_state(attempt, AttemptState::Running).await;
    launcher.stop().await.unwrap();
    let row = world.row(attempt).await;
    assert_eq!((row.state.as_str(), row.failure.as_deref()), ("done", Some("launcher_stopped")), "{row:?}");
    world.assert_clean().await;
}

#[tokio::test]
async fn two_launchers_share_the_work() {
    let Some(world) = World::new().await else { return };
    let first = world.launcher(&[]).await;
    let second = world.launcher(&[]).await;
    let both = [first.id.uuid(), second.id.uuid()];
    let mut attempts = Vec::new();
    // Each waits 50 ms for the less loaded one; on a loaded machine that is not always enough.
    wait_until("both to have taken some", PATIENCE, async || {
        for _ in 0..2 {
            attempts.push(world.offered(&format!("sleep 1; {GOOD}")).await.1);
        }
        let mut owners = std::collections::BTreeSet::new();
        for attempt in &attempts {
            owners.extend(world.until_accepted(*attempt).await.launcher_id);
        }
        both.iter().all(|id| owners.contains(id))
    })
    .await;
    for attempt in attempts {
        let row = world.until_released(attempt).await;
        assert_eq!(row.status, "success", "{row:?}");
    }
    world.assert_clean().await;
}
