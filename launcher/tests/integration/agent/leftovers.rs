//! What lost attempts left is found, listed as theirs, and removed as the files of others are.

use std::{os::unix::fs::symlink, path::PathBuf};

use chrono::{DateTime, Utc};
use cyberbrain_common::db::leftovers;
use cyberbrain_core::{
    ids::{AttemptId, RunJobId},
    lifecycle::{AttemptState, Event, FailureKind},
};
use cyberbrain_testkit::wait_until;
use uuid::Uuid;

use super::world::{PATIENCE, World};

/// The options of a launcher that removes nothing.
const KEEP: [&str; 2] = ["--keep-artifacts-days", "0"];

/// Attempts that left a result and a log each, were lost so many days ago, and whose files nobody listed.
async fn lost(world: &World, days: &[i32]) -> Vec<(RunJobId, AttemptId)> {
    let launcher = world.launcher(&KEEP).await;
    let mut attempts = Vec::new();
    for _ in days {
        let job = world.simulation("run_ms=10").await;
        let attempt = world.offer(job).await;
        world.until_released(attempt).await;
        attempts.push((job, attempt));
    }
    launcher.stop().await.unwrap();
    for ((_, attempt), days) in attempts.iter().zip(days) {
        let forgotten = "delete from run_artifacts where attempt_id = $1";
        sqlx::query(forgotten).bind(attempt.uuid()).execute(&world.pool).await.unwrap();
        let lost =
            "update attempts set state = 'lost', ended_at = now() - make_interval(days => $2) where id = $1";
        sqlx::query(lost).bind(attempt.uuid()).bind(days).execute(&world.pool).await.unwrap();
    }
    attempts
}

async fn end_run(world: &World) {
    let ended = "update runs set status = 'failed', finished_at = now()";
    sqlx::query(ended).execute(&world.pool).await.unwrap();
}

/// Type, last part of the path, and age, of the files that are listed as the attempt's.
async fn listed(world: &World, attempt: AttemptId) -> Vec<(String, String, DateTime<Utc>)> {
    let query = "select artifact_type, split_part(path, '/', -1), created_at from run_artifacts
        where attempt_id = $1 and root_id = (select logs_root from launchers limit 1) order by path";
    sqlx::query_as(query).bind(attempt.uuid()).fetch_all(&world.pool).await.unwrap()
}

async fn until_listed(world: &World, attempt: AttemptId) {
    wait_until("its files to be listed", PATIENCE, async || !listed(world, attempt).await.is_empty()).await;
}

fn dir(world: &World, (job, attempt): (RunJobId, AttemptId)) -> PathBuf {
    world.attempt_dir(job, attempt)
}

async fn removals(world: &World) -> Vec<serde_json::Value> {
    let query = "select jsonb_build_object('attempt', attempt_id, 'files', config_snapshot -> 'files', 'host', host) from worker_audit
        where operation = 'remove' and config_snapshot ? 'cause' order by at, id";
    sqlx::query_scalar(query).fetch_all(&world.pool).await.unwrap()
}

#[tokio::test]
async fn what_an_attempt_left_that_was_given_up_as_lost_is_listed_once_its_run_has_ended() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let launcher = world.launcher(&KEEP).await;
    let job = world.simulation("run_ms=600000").await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    let own = world.attempt_dir(job, attempt);
    wait_until("its log to be written", PATIENCE, async || {
        std::fs::metadata(own.join("container-f1.log")).is_ok_and(|log| log.len() > 0)
    })
    .await;
    std::fs::write(own.join("out/half.csv"), "a,b\n").unwrap();
    world.step(job, Event::Lose { failure: FailureKind::HostLost }).await;
    // Its container is removed first. Its Run is live.
    world.until_released(attempt).await;
    launcher.stop().await.unwrap();
    let launcher = world.launcher(&KEEP).await;
    launcher.stop().await.unwrap();
    assert_eq!(listed(&world, attempt).await, []);
    end_run(&world).await;
    let _launcher = world.launcher(&KEEP).await;
    until_listed(&world, attempt).await;
    let ended: DateTime<Utc> = sqlx::query_scalar("select ended_at from attempts where id = $1")
        .bind(attempt.uuid())
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let expected = [("log", "container-f1.log"), ("data", "half.csv")]
        .map(|(kind, name)| (kind.to_owned(), name.to_owned(), ended));
    assert_eq!(listed(&world, attempt).await, expected, "as old as its end");
}

#[tokio::test]
async fn a_lost_attempts_files_go_when_they_are_old_and_it_is_on_record() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let attempts = lost(&world, &[400, 2]).await;
    end_run(&world).await;
    let _launcher = world.launcher(&["--keep-artifacts-days", "30"]).await;
    wait_until("the old one to be gone", PATIENCE, async || !dir(&world, attempts[0]).exists()).await;
    until_listed(&world, attempts[1].1).await;
    assert!(dir(&world, attempts[1]).join("out/result.json").exists());
    let removed: i64 = sqlx::query_scalar(
        "select count(*) from run_artifacts where attempt_id = $1 and removed_at is not null and removed_cause = 'age'",
    )
    .bind(attempts[0].1.uuid())
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(removed >= 2, "its result and its log are known to have been there");
    let told = removals(&world).await;
    assert_eq!((told.len(), &told[0]["files"]), (1, &removed.into()), "{told:?}");
}

#[tokio::test]
async fn only_what_is_over_and_whose_container_is_confirmed_gone_counts_as_left() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let attempts = lost(&world, &[9, 8, 7, 6]).await;
    let host = world.host().await;
    let ids: Vec<AttemptId> = attempts.iter().map(|(_, attempt)| *attempt).collect();
    let mut connection = world.db.connect().await;
    let mut left = async || -> Vec<AttemptId> {
        let left = leftovers::unlisted(&mut connection, &[host], &ids).await.unwrap();
        left.into_iter().map(|left| left.attempt).collect()
    };
    assert_eq!(left().await, [], "the run is live");
    end_run(&world).await;
    assert_eq!(left().await, ids);
    // Attempts don't change like this by themselves.
    sqlx::raw_sql("alter table attempts disable trigger user").execute(&world.pool).await.unwrap();
    for (n, change) in [
        "update attempts set released_at = null where id = $1",
        "update attempts set state = 'running', ended_at = null, deadline_at = now() where id = $1",
        "with other as (
             insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
             values (gen_random_uuid(), 'other', 'other', 'other', 'boot', 'docker', 1, 1) returning id)
         update attempts set host_id = other.id from other where attempts.id = $1",
        "insert into run_artifacts (id, run_id, attempt_id, artifact_type, path, size_bytes, sha256, mime_type, removed_at)
         select gen_random_uuid(), run_id, id, 'log', 'x', 1, sha256(''), 'text/plain', now() from attempts where id = $1",
    ]
    .into_iter()
    .enumerate()
    {
        sqlx::query(change).bind(ids[n].uuid()).execute(&world.pool).await.unwrap();
        assert_eq!(left().await, ids[n + 1..], "{change}");
    }
}

#[tokio::test]
async fn siblings_list_each_file_once() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let attempts = lost(&world, &[9, 8]).await;
    end_run(&world).await;
    let options = [&KEEP[..], &["--skip-preflight"]].concat();
    let launchers: Vec<_> = (0..3).map(|_| world.start(&options)).collect();
    until_listed(&world, attempts[1].1).await;
    for launcher in launchers {
        launcher.stop().await.unwrap();
    }
    for attempt in attempts {
        let names: Vec<String> =
            listed(&world, attempt.1).await.into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, ["container-f1.log", "result.json"]);
        assert!(dir(&world, attempt).join("out/result.json").exists());
    }
}

#[tokio::test]
async fn directories_that_the_database_does_not_know_stay() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let attempts = lost(&world, &[400]).await;
    end_run(&world).await;
    let runs = world.data.path().join("logs/runs");
    let outside = tempfile::tempdir().unwrap();
    let unknown = |root: &std::path::Path| {
        let path = root.join(Uuid::now_v7().to_string()).join(Uuid::now_v7().to_string());
        std::fs::create_dir_all(path.join("out")).unwrap();
        std::fs::write(path.join("out/precious"), "p").unwrap();
        path
    };
    let theirs = unknown(&runs.join(Uuid::now_v7().to_string()));
    let linked = unknown(outside.path());
    symlink(outside.path(), runs.join(Uuid::now_v7().to_string())).unwrap();
    std::fs::write(runs.join("notes.txt"), "n").unwrap();
    let launcher = world.launcher(&["--keep-artifacts-days", "30"]).await;
    wait_until("the known one to be gone", PATIENCE, async || !dir(&world, attempts[0]).exists()).await;
    launcher.stop().await.unwrap();
    for path in [theirs.join("out/precious"), linked.join("out/precious"), runs.join("notes.txt")] {
        assert!(path.exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn a_directory_without_files_goes_when_it_is_old_and_only_where_age_is_a_bound() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let attempts = lost(&world, &[400, 2, 1]).await;
    end_run(&world).await;
    for attempt in &attempts[..2] {
        let own = dir(&world, *attempt);
        std::fs::remove_file(own.join("out/result.json")).unwrap();
        std::fs::remove_file(own.join("container-f1.log")).unwrap();
    }
    let launcher = world.launcher(&KEEP).await;
    // Looked at after the others.
    until_listed(&world, attempts[2].1).await;
    launcher.stop().await.unwrap();
    assert!(attempts.iter().all(|attempt| dir(&world, *attempt).exists()));
    let _launcher = world.launcher(&["--keep-artifacts-days", "30"]).await;
    wait_until("the old one to be gone", PATIENCE, async || !dir(&world, attempts[0]).exists()).await;
    assert!(dir(&world, attempts[1]).exists());
    let told = removals(&world).await;
    let expected = serde_json::json!({ "attempt": attempts[0].1, "files": 0, "host": "testhost" });
    assert_eq!(told, [expected]);
}
