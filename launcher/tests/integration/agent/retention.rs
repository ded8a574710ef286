//! Files of ended runs are removed from their host, each once, and what was cut off in between is finished.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use cyberbrain_core::{
    ids::{AttemptId, RunJobId},
    spec::RetryPolicy,
};
use cyberbrain_testkit::wait_until;
use uuid::Uuid;

use super::world::{PATIENCE, World, spec};
use crate::kept;

type Past = Vec<(RunJobId, AttemptId)>;

/// An installation whose host has this name: metrics are counted by it.
async fn world(name: &'static str) -> Option<World> {
    kept::metrics();
    let (mut world, _engine) = World::simulated().await?;
    world.name = name;
    Some(world)
}

/// Three attempts with a result and a log each; nobody looks after them any more.
async fn past(name: &'static str) -> Option<(World, Past)> {
    let world = world(name).await?;
    let attempts = three(&world, &[]).await;
    for (n, (_, attempt)) in attempts.iter().enumerate() {
        // As if they had almost a megabyte each, 41, 39 and 37 days ago.
        age(&world, *attempt, 41 - 2 * i32::try_from(n).unwrap()).await;
    }
    Some((world, attempts))
}

/// By a launcher with these options, which is gone then.
async fn three(world: &World, options: &[&str]) -> Past {
    let launcher = world.launcher(options).await;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let job = world.simulation("run_ms=10").await;
        let attempt = world.offer(job).await;
        world.until_released(attempt).await;
        attempts.push((job, attempt));
    }
    launcher.stop().await.unwrap();
    attempts
}

async fn age(world: &World, attempt: AttemptId, days: i32) {
    let aged = "update run_artifacts set created_at = now() - make_interval(days => $2),
        size_bytes = case when path like '%/result.json' then 900000 else size_bytes end where attempt_id = $1";
    sqlx::query(aged).bind(attempt.uuid()).bind(days).execute(&world.pool).await.unwrap();
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

fn there(dirs: &[PathBuf]) -> Vec<bool> {
    dirs.iter().map(|dir| dir.exists()).collect()
}

async fn removals(world: &World) -> Vec<serde_json::Value> {
    let query = "select jsonb_build_object('config', config_snapshot, 'host', host, 'actor', actor, 'reason', selection_reason)
        from worker_audit where operation = 'remove' and config_snapshot ? 'cause' and run_id = $1 order by at, id";
    sqlx::query_scalar(query).bind(world.run.uuid()).fetch_all(&world.pool).await.unwrap()
}

/// Number and bytes.
async fn files_of(world: &World, attempts: &[(RunJobId, AttemptId)]) -> (i64, i64) {
    let ids: Vec<Uuid> = attempts.iter().map(|(_, attempt)| attempt.uuid()).collect();
    let query = "select count(*), sum(size_bytes)::bigint from run_artifacts where attempt_id = any($1)";
    sqlx::query_as(query).bind(ids).fetch_one(&world.pool).await.unwrap()
}

/// What the metrics say was removed from this host: files and bytes.
fn counted(host: &str) -> (i64, i64) {
    let text = kept::metrics().render();
    let value = |name: &str| {
        let line = format!("{name}{{host=\"{host}\"}} ");
        let found = text.lines().find_map(|found| found.strip_prefix(&line));
        found.map_or(0, |value| value.parse().unwrap())
    };
    (value("cyberbrain_files_removed_total"), value("cyberbrain_files_removed_bytes_total"))
}

async fn until_counted(host: &str, files: (i64, i64)) {
    wait_until("the counters", PATIENCE, async || counted(host) == files).await;
}

#[tokio::test]
async fn by_age_files_go_with_their_directories_and_it_is_on_record() {
    let Some((world, attempts)) = past("by-age").await else { return };
    end_run(&world).await;
    let dirs = dirs(&world, &attempts);
    // What was too much for the list of artifacts goes too.
    std::fs::write(dirs[0].join("out/unlisted"), "x").unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "38"]).await;
    let (files, bytes) = files_of(&world, &attempts[..2]).await;
    assert!(files >= 4, "a result and a log of each: {files}");
    until_purged(&world, files).await;
    assert_eq!(kept(&world, &attempts).await, [false, false, true]);
    assert_eq!(there(&dirs), [false, false, true]);
    assert!(!dirs[0].parent().unwrap().exists(), "nor is the directory of the run job");
    let removals = removals(&world).await;
    let [removal] = removals.as_slice() else { panic!("one row per run: {removals:?}") };
    let told = serde_json::json!({ "cause": "age", "files": files, "bytes": bytes });
    assert_eq!(removal["config"], told);
    assert_eq!((&removal["host"], &removal["actor"]), (&"by-age".into(), &"system:launcher".into()));
    assert_eq!(removal["reason"], "its files are older than what is kept");
    let causes: Vec<String> =
        sqlx::query_scalar("select distinct removed_cause from run_artifacts where removed_at is not null")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(causes, ["age"]);
    until_counted("by-age", (files, bytes)).await;
}

#[tokio::test]
async fn by_size_exactly_the_oldest_go_and_of_one_age_those_that_come_first() {
    let Some((world, _)) = past("by-size").await else { return };
    end_run(&world).await;
    // Nine files of a quarter of a MiB: three of one age, three of another, and three that are younger, out of order.
    sqlx::query("delete from run_artifacts").execute(&world.pool).await.unwrap();
    // What lies there would be listed anew.
    std::fs::remove_dir_all(world.data.path().join("logs/runs")).unwrap();
    for (n, days) in [(7, 20), (3, 30), (9, 10), (1, 30), (5, 20), (2, 30), (8, 9), (4, 20), (6, 8)] {
        let row = "insert into run_artifacts (id, run_id, host_id, root_id, artifact_type, path, size_bytes, sha256, mime_type,
                created_at)
            select lpad($1::text, 32, '0')::uuid, r.id, l.host_id, l.logs_root, 'data', 'x/' || $1, 262144, sha256(''), 'text/plain',
                timestamptz '2020-01-01' - make_interval(days => $2)
            from runs r, launchers l limit 1";
        sqlx::query(row).bind(n).bind(days).execute(&world.pool).await.unwrap();
    }
    let launcher = world.launcher(&["--keep-artifacts-days", "0", "--keep-artifacts-mib", "1"]).await;
    until_purged(&world, 5).await;
    launcher.stop().await.unwrap();
    let gone: Vec<String> =
        sqlx::query_scalar("select path from run_artifacts where removed_at is not null order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(gone, ["x/1", "x/2", "x/3", "x/4", "x/5"], "and the four that are left are the whole MiB");
    assert_eq!(removals(&world).await[0]["config"]["cause"], "bytes");
    until_counted("by-size", (5, 5 * 262_144)).await;
}

#[tokio::test]
async fn a_live_runs_files_stay_whatever_their_age_and_size() {
    let Some((world, attempts)) = past("live").await else { return };
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
async fn a_run_job_that_is_tried_again_keeps_the_files_of_its_first_attempt() {
    let Some(world) = world("again").await else { return };
    let launcher = world.launcher(&[]).await;
    let env = [("CYBERBRAIN_SIMULATE".to_owned(), "run_ms=10,exit=3".to_owned())].into();
    let retry = RetryPolicy { max_attempts: 2, max_infra_failures: 0, backoff_seconds: 1 };
    let job = world.job(cyberbrain_core::spec::JobSpec { env, retry, ..spec() }).await;
    let first = world.offer(job).await;
    let row = world.until_released(first).await;
    assert_eq!(
        (row.state.as_str(), row.status.as_str()),
        ("done", "pending"),
        "it waits for its second attempt"
    );
    // All others of the run have ended long ago, and so has this attempt.
    let done = world.simulation("run_ms=10").await;
    let other = world.offer(done).await;
    world.until_released(other).await;
    launcher.stop().await.unwrap();
    let past = [(job, first), (done, other)];
    for (_, attempt) in past {
        age(&world, attempt, 400).await;
    }
    let (files, _) = files_of(&world, &past).await;
    let options = ["--keep-artifacts-days", "1", "--keep-artifacts-mib", "1"];
    let launcher = world.launcher(&options).await;
    let second = world.offer(job).await;
    world.until_released(second).await;
    launcher.stop().await.unwrap();
    assert_eq!(kept(&world, &past).await, [true, true]);
    assert_eq!(there(&dirs(&world, &past)), [true, true]);
    end_run(&world).await;
    let _launcher = world.launcher(&options).await;
    until_purged(&world, files).await;
    assert_eq!(there(&dirs(&world, &[past[0], past[1], (job, second)])), [false, false, true]);
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_by_the_next_launcher() {
    let Some((world, attempts)) = past("cut-off").await else { return };
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
    until_purged(&world, files_of(&world, &attempts[..2]).await.0).await;
    assert_eq!(there(&dirs), [false, false, true]);
}

#[tokio::test]
async fn siblings_that_share_a_directory_remove_each_file_once() {
    let Some((world, attempts)) = past("siblings").await else { return };
    end_run(&world).await;
    let options = ["--keep-artifacts-days", "38", "--keep-artifacts-mib", "1", "--skip-preflight"];
    let launchers: Vec<_> = (0..4).map(|_| world.start(&options)).collect();
    let files = files_of(&world, &attempts[..2]).await;
    until_purged(&world, files.0).await;
    for launcher in launchers {
        launcher.stop().await.unwrap();
    }
    assert_eq!(kept(&world, &attempts).await, [false, false, true]);
    let told: i64 = removals(&world).await.iter().map(|row| row["config"]["files"].as_i64().unwrap()).sum();
    assert_eq!(told, files.0, "each is on record once");
    assert_eq!(counted("siblings"), files, "and counted once");
}

#[tokio::test]
async fn a_launcher_removes_only_what_lies_in_its_own_directory_and_on_its_own_host() {
    let Some((world, ours)) = past("two-roots").await else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let root = elsewhere.path().join("logs");
    let theirs = three(&world, &["--logs", root.to_str().unwrap()]).await;
    for (_, attempt) in &theirs {
        age(&world, *attempt, 400).await;
    }
    let their_dir = |n: usize| {
        let (job, attempt) = theirs[n];
        root.join(format!("runs/{}/{job}/{attempt}", world.run))
    };
    assert!(their_dir(0).exists() && there(&dirs(&world, &ours)) == [true; 3]);
    // Another host that has the directory too, by a network share: what it made is its own.
    let other =
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
        values (gen_random_uuid(), 'other', 'other', 'other', 'boot', 'docker', 1, 1)";
    sqlx::query(other).execute(&world.pool).await.unwrap();
    let moved = "update run_artifacts set host_id = (select id from hosts where name = 'other') where attempt_id = $1";
    sqlx::query(moved).bind(ours[2].1.uuid()).execute(&world.pool).await.unwrap();
    // One is marked by the others and not unlinked yet: that is theirs to do.
    let marked = "update run_artifacts set removed_at = now() where attempt_id = $1";
    sqlx::query(marked).bind(theirs[2].1.uuid()).execute(&world.pool).await.unwrap();
    end_run(&world).await;

    let options = ["--keep-artifacts-days", "1", "--keep-artifacts-mib", "1"];
    let launcher = world.launcher(&options).await;
    let files = files_of(&world, &ours[..2]).await;
    until_counted("two-roots", files).await;
    launcher.stop().await.unwrap();
    assert_eq!(kept(&world, &ours).await, [false, false, true], "but for the other host's");
    assert_eq!(there(&dirs(&world, &ours)), [false, false, true]);
    assert_eq!(kept(&world, &theirs).await, [true, true, false], "as before");
    assert!((0..3).all(|n| their_dir(n).join("out/result.json").exists()));

    let _launcher = world.launcher(&[&options[..], &["--logs", root.to_str().unwrap()]].concat()).await;
    until_purged(&world, files.0 + files_of(&world, &theirs).await.0).await;
    assert!((0..3).all(|n| !their_dir(n).exists()));
    assert_eq!(there(&dirs(&world, &ours)), [false, false, true]);
}

#[tokio::test]
async fn what_was_stored_before_directories_had_ids_goes_too() {
    let Some((world, attempts)) = past("rootless").await else { return };
    end_run(&world).await;
    sqlx::query("update run_artifacts set root_id = null").execute(&world.pool).await.unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "1"]).await;
    until_purged(&world, files_of(&world, &attempts).await.0).await;
    assert_eq!(there(&dirs(&world, &attempts)), [false; 3]);
}

#[tokio::test]
async fn a_link_planted_in_place_of_a_file_is_removed_and_not_followed() {
    let Some((world, attempts)) = past("planted").await else { return };
    end_run(&world).await;
    let outside = tempfile::tempdir().unwrap();
    let precious = |name: &str| {
        let path = outside.path().join(name);
        std::fs::create_dir_all(path.join("out")).unwrap();
        std::fs::write(path.join("out/result.json"), "precious").unwrap();
        path
    };
    let replace = |original: &Path, with: &Path| {
        if original.is_dir() {
            std::fs::remove_dir_all(original).unwrap();
        } else {
            std::fs::remove_file(original).unwrap();
        }
        symlink(with, original).unwrap();
    };
    let dirs = dirs(&world, &attempts);
    // In place of a file, of the directory that the worker had, and of the attempt's own.
    replace(&dirs[0].join("out/result.json"), &precious("a").join("out/result.json"));
    replace(&dirs[1].join("out"), &precious("b").join("out"));
    replace(&dirs[2], &precious("c"));
    // Its log is young: it keeps the directory, so that the link is removed by itself.
    let young = "update run_artifacts set created_at = now() where attempt_id = $1 and artifact_type = 'log'";
    let young =
        sqlx::query(young).bind(attempts[0].1.uuid()).execute(&world.pool).await.unwrap().rows_affected();
    let files = files_of(&world, &attempts).await.0 - i64::try_from(young).unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "1"]).await;
    until_purged(&world, files).await;
    for name in ["a", "b", "c"] {
        let text = std::fs::read_to_string(outside.path().join(name).join("out/result.json")).unwrap();
        assert_eq!(text, "precious", "{name}");
    }
    assert!(dirs[0].exists(), "its log is kept");
    for link in [dirs[0].join("out/result.json"), dirs[1].clone(), dirs[2].clone()] {
        assert!(std::fs::symlink_metadata(&link).is_err(), "{} is gone", link.display());
    }
}
