//! Files of ended runs are removed from their host, and what was cut off in between is finished.

use std::path::PathBuf;

use cyberbrain_core::ids::{AttemptId, RunJobId};
use cyberbrain_testkit::wait_until;

use super::world::{PATIENCE, World};

/// Three attempts with a result and a log each; nobody looks after them any more.
async fn past() -> Option<(World, Vec<(RunJobId, AttemptId)>)> {
    let (world, _engine) = World::simulated().await?;
    let launcher = world.launcher(&[]).await;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let job = world.simulation("run_ms=10").await;
        let attempt = world.offer(job).await;
        world.until_released(attempt).await;
        attempts.push((job, attempt));
    }
    launcher.stop().await.unwrap();
    for (n, (job, attempt)) in attempts.iter().enumerate() {
        // As if they had almost a megabyte each, 41, 39 and 37 days ago.
        let age = 41 - 2 * i32::try_from(n).unwrap();
        let aged = "update run_artifacts set created_at = now() - make_interval(days => $2),
            size_bytes = case when path like '%/result.json' then 900000 else size_bytes end where attempt_id = $1";
        sqlx::query(aged).bind(attempt.uuid()).bind(age).execute(&world.pool).await.unwrap();
        assert!(world.attempt_dir(*job, *attempt).join("out/result.json").exists());
    }
    Some((world, attempts))
}

async fn end_run(world: &World) {
    let ended = "update runs set status = 'success', finished_at = now()";
    sqlx::query(ended).execute(&world.pool).await.unwrap();
}

/// Which of the attempts have files that are not removed.
async fn kept(world: &World, attempts: &[(RunJobId, AttemptId)]) -> Vec<bool> {
    let mut kept = Vec::new();
    for (_, attempt) in attempts {
        let query = "select count(*) from run_artifacts where attempt_id = $1 and removed_at is null";
        let files: i64 = sqlx::query_scalar(query).bind(attempt.uuid()).fetch_one(&world.pool).await.unwrap();
        kept.push(files > 0);
    }
    kept
}

async fn until_purged(world: &World, files: i64) {
    wait_until("the files to be purged", PATIENCE, async || {
        let query = "select count(*) from run_artifacts where purged_at is not null";
        sqlx::query_scalar::<_, i64>(query).fetch_one(&world.pool).await.unwrap() == files
    })
    .await;
}

fn dirs(world: &World, attempts: &[(RunJobId, AttemptId)]) -> Vec<PathBuf> {
    attempts.iter().map(|(job, attempt)| world.attempt_dir(*job, *attempt)).collect()
}

async fn removals(world: &World) -> Vec<serde_json::Value> {
    let query =
        "select jsonb_build_object('config', config_snapshot, 'host', host, 'actor', actor) from worker_audit
        where operation = 'remove' and config_snapshot ? 'cause' and run_id = $1 order by at, id";
    sqlx::query_scalar(query).bind(world.run.uuid()).fetch_all(&world.pool).await.unwrap()
}

async fn files_of(world: &World, attempts: &[(RunJobId, AttemptId)]) -> i64 {
    let ids: Vec<uuid::Uuid> = attempts.iter().map(|(_, attempt)| attempt.uuid()).collect();
    let query = "select count(*) from run_artifacts where attempt_id = any($1)";
    sqlx::query_scalar(query).bind(ids).fetch_one(&world.pool).await.unwrap()
}

#[tokio::test]
async fn files_that_are_too_old_are_removed_with_their_directories_and_it_is_on_record() {
    let Some((world, attempts)) = past().await else { return };
    end_run(&world).await;
    let dirs = dirs(&world, &attempts);
    // What was too much for the list of artifacts goes too.
    std::fs::write(dirs[0].join("out/unlisted"), "x").unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "38"]).await;
    let files = files_of(&world, &attempts[..2]).await;
    assert!(files >= 2, "{files}");
    until_purged(&world, files).await;
    assert_eq!(kept(&world, &attempts).await, [false, false, true]);
    assert_eq!(dirs.iter().map(|dir| dir.exists()).collect::<Vec<_>>(), [false, false, true]);
    assert!(!dirs[0].parent().unwrap().exists(), "nor is the directory of the run job");
    let removals = removals(&world).await;
    let [removal] = removals.as_slice() else { panic!("one row per run: {removals:?}") };
    assert_eq!((&removal["config"]["cause"], &removal["config"]["files"]), (&"age".into(), &files.into()));
    assert_eq!((&removal["host"], &removal["actor"]), (&"testhost".into(), &"system:launcher".into()));
}

#[tokio::test]
async fn what_is_too_much_goes_oldest_first() {
    let Some((world, attempts)) = past().await else { return };
    end_run(&world).await;
    let _launcher = world.launcher(&["--keep-artifacts-days", "0", "--keep-artifacts-mib", "2"]).await;
    wait_until("enough to be removed", PATIENCE, async || !removals(&world).await.is_empty()).await;
    assert_eq!(removals(&world).await[0]["config"]["cause"], "bytes");
    let result = |n: usize| dirs(&world, &attempts)[n].join("out/result.json");
    wait_until("the oldest to be gone", PATIENCE, async || !result(0).exists()).await;
    assert!(result(1).exists() && result(2).exists());
    let left: i64 =
        sqlx::query_scalar("select sum(size_bytes)::bigint from run_artifacts where removed_at is null")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!((900_000..=2 * 1024 * 1024).contains(&left), "{left}");
}

#[tokio::test]
async fn a_live_runs_files_stay_whatever_their_age_and_size() {
    let Some((world, attempts)) = past().await else { return };
    let another = "insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by,
            status, finished_at) values (gen_random_uuid(), 'D4', 'Custom', 1, '{\"text\": \"t\"}', 'test', 'success', now())";
    sqlx::query(another).execute(&world.pool).await.unwrap();
    // The youngest attempt's files are of a run that has ended: the look gets past the live ones.
    sqlx::query("update run_artifacts set run_id = (select id from runs where status = 'success') where attempt_id = $1")
        .bind(attempts[2].1.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "1", "--keep-artifacts-mib", "1"]).await;
    wait_until("the ended run's to be removed", PATIENCE, async || {
        kept(&world, &attempts).await == [true, true, false]
    })
    .await;
    assert!(dirs(&world, &attempts)[..2].iter().all(|dir| dir.join("out/result.json").exists()));
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_by_the_next_launcher() {
    let Some((world, attempts)) = past().await else { return };
    end_run(&world).await;
    // Killed after the commit: marked, and still on the disk. One was unlinked already.
    sqlx::query("update run_artifacts set removed_at = now() where attempt_id = any($1)")
        .bind(attempts[..2].iter().map(|(_, attempt)| attempt.uuid()).collect::<Vec<_>>())
        .execute(&world.pool)
        .await
        .unwrap();
    let dirs = dirs(&world, &attempts);
    std::fs::remove_dir_all(&dirs[0]).unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "0"]).await;
    until_purged(&world, files_of(&world, &attempts[..2]).await).await;
    assert_eq!(dirs.iter().map(|dir| dir.exists()).collect::<Vec<_>>(), [false, false, true]);
}

#[tokio::test]
async fn siblings_on_one_host_remove_no_more_than_one_would() {
    let Some((world, attempts)) = past().await else { return };
    end_run(&world).await;
    let options = ["--keep-artifacts-days", "0", "--keep-artifacts-mib", "2"];
    let launchers: Vec<_> =
        (0..4).map(|_| world.start(&[&options[..], &["--skip-preflight"]].concat())).collect();
    wait_until("the oldest to be removed", PATIENCE, async || !removals(&world).await.is_empty()).await;
    for launcher in launchers {
        launcher.stop().await.unwrap();
    }
    assert_eq!(kept(&world, &attempts[1..]).await, [true, true]);
    let purged: (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where purged_at is null) from run_artifacts where removed_at is not null",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let counted: i64 =
        removals(&world).await.iter().map(|row| row["config"]["files"].as_i64().unwrap()).sum();
    assert_eq!(purged.0, counted, "each is on record once");
}
