//! The report of every ended run lies under the logs root of one host, whole, until retention removes it.

use std::{fs, path::PathBuf};

use cyberbrain_common::{db::closing, ids::fresh};
use cyberbrain_core::{
    ids::{HostId, RunId, RunJobId},
    lifecycle::{Event, FailureKind},
    report,
};
use cyberbrain_testkit::wait_until;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;

use super::world::{PATIENCE, World, spec};

/// Another Run with one RunJob, which never gets a place.
async fn another(world: &World) -> (RunId, RunJobId) {
    let (run, job): (RunId, RunJobId) = (fresh(), fresh());
    sqlx::query(
        "insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
         values ($1, 'D4', 'Custom', 1, '{\"text\": \"t\"}', 'test')",
    )
    .bind(run.uuid())
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query(
        "insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, admitted, deadline_at)
         values ($1, $2, 0, 'custom_job', 'job', $3, 'test', 'shape', true, now() + interval '1 day')",
    )
    .bind(job.uuid())
    .bind(run.uuid())
    .bind(serde_json::to_value(spec()).unwrap())
    .execute(&world.pool)
    .await
    .unwrap();
    (run, job)
}

/// What the scheduler does about a Run whose RunJobs have ended.
async fn close(world: &World, run: RunId) {
    let mut connection = world.pool.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    let locked = closing::lock(&mut tx, run).await.unwrap().unwrap();
    let sums = closing::sums(&mut tx, run).await.unwrap();
    let facts = closing::facts(&mut tx, run, locked, sums).await.unwrap();
    let report = report::build(facts).expect("it is over");
    closing::close(&mut tx, &report, &report::markdown(&report)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn cancelled(world: &World) -> RunId {
    let (run, job) = another(world).await;
    world.step(job, Event::Cancel).await;
    close(world, run).await;
    run
}

async fn until_filed(world: &World, run: RunId) {
    wait_until("the report to be in a file", PATIENCE, async || filed(world, run).await).await;
}

async fn filed(world: &World, run: RunId) -> bool {
    let query = "select report_filed_at is not null from runs where id = $1";
    sqlx::query_scalar(query).bind(run.uuid()).fetch_one(&world.pool).await.unwrap()
}

fn dir(world: &World, run: RunId) -> PathBuf {
    world.data.path().join("logs/runs").join(run.to_string())
}

/// Panics unless the files hold what the row says, and are listed as what they are.
async fn assert_copied(world: &World, run: RunId) {
    let query = "select status, report_markdown, report, finished_at from runs where id = $1";
    let (status, markdown, json, finished): (String, String, Value, chrono::DateTime<chrono::Utc>) =
        sqlx::query_as(query).bind(run.uuid()).fetch_one(&world.pool).await.unwrap();
    let dir = dir(world, run);
    assert_eq!(fs::read_to_string(dir.join("report.md")).unwrap(), markdown);
    assert!(markdown.contains(&format!("| Status | {status} |")), "{markdown}");
    let copy: Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
    assert_eq!(copy, json);
    let query = "select path, size_bytes, sha256, created_at = $2, host_id = (select id from hosts where name = 'testhost')
        from run_artifacts where run_id = $1 and run_job_id is null and artifact_type = 'report' order by path";
    let rows: Vec<(String, i64, Vec<u8>, bool, bool)> =
        sqlx::query_as(query).bind(run.uuid()).bind(finished).fetch_all(&world.pool).await.unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, name) in rows.iter().zip(["report.json", "report.md"]) {
        let (path, size, hash, as_old_as_its_end, here) = row;
        assert_eq!(*path, format!("runs/{run}/{name}"));
        let bytes = fs::read(dir.join(name)).unwrap();
        assert_eq!((*size, &hash[..]), (bytes.len() as i64, &Sha256::digest(&bytes)[..]), "{name}");
        assert!(*as_old_as_its_end && *here, "{name}");
    }
}

#[tokio::test]
async fn every_ended_run_has_its_report_in_files_however_it_ended() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=10").await;
    let attempt = world.offer(job).await;
    world.until_released(attempt).await;
    close(&world, world.run).await;
    let (refused, job) = another(&world).await;
    world.step(job, Event::Refuse { failure: FailureKind::Infeasible }).await;
    close(&world, refused).await;
    let cancelled = cancelled(&world).await;
    let (open, _) = another(&world).await;
    let mut statuses = Vec::new();
    for run in [world.run, refused, cancelled] {
        until_filed(&world, run).await;
        assert_copied(&world, run).await;
        let query = "select status from runs where id = $1";
        let status: String = sqlx::query_scalar(query).bind(run.uuid()).fetch_one(&world.pool).await.unwrap();
        statuses.push(status);
    }
    assert_eq!(statuses, ["success", "failed", "cancelled"]);
    assert!(!filed(&world, open).await && !dir(&world, open).exists(), "an open one has none");
}

#[tokio::test]
async fn what_a_killed_launcher_left_undone_is_done_by_the_next() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let run = cancelled(&world).await;
    // Killed between the files and the commit, and in the middle of a file.
    fs::create_dir_all(dir(&world, run)).unwrap();
    fs::write(dir(&world, run).join("report.md"), "# Ha").unwrap();
    fs::write(dir(&world, run).join(".report.json.part"), "{").unwrap();
    let _launcher = world.launcher(&[]).await;
    until_filed(&world, run).await;
    assert_copied(&world, run).await;
    assert_eq!(fs::read_dir(dir(&world, run)).unwrap().count(), 2, "and nothing beside them");
}

#[tokio::test]
async fn siblings_write_a_report_once() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(cancelled(&world).await);
    }
    let launchers: Vec<_> = (0..3).map(|_| world.start(&["--skip-preflight"])).collect();
    for run in runs {
        until_filed(&world, run).await;
        assert_copied(&world, run).await;
    }
    for launcher in launchers {
        launcher.stop().await.unwrap();
    }
}

#[tokio::test]
async fn retention_removes_the_files_and_none_comes_back() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let launcher = world.launcher(&[]).await;
    let removed = cancelled(&world).await;
    until_filed(&world, removed).await;
    launcher.stop().await.unwrap();
    sqlx::query("update run_artifacts set created_at = now() - interval '40 days'")
        .execute(&world.pool)
        .await
        .unwrap();
    // Its files went before there was a report of it.
    let late = cancelled(&world).await;
    sqlx::query(
        "insert into run_artifacts (id, run_id, host_id, artifact_type, path, size_bytes, sha256, mime_type, removed_at)
         select gen_random_uuid(), $1, id, 'data', 'runs/x', 1, sha256('x'), 'text/plain', now() from hosts",
    )
    .bind(late.uuid())
    .execute(&world.pool)
    .await
    .unwrap();
    let _launcher = world.launcher(&["--keep-artifacts-days", "30"]).await;
    wait_until("the directory to be gone", PATIENCE, async || !dir(&world, removed).exists()).await;
    // A look has passed over both when it has found a run that ended after them.
    let last = cancelled(&world).await;
    until_filed(&world, last).await;
    assert!(filed(&world, late).await, "it is not looked at again");
    assert!(!dir(&world, late).exists() && !dir(&world, removed).exists());
    let listed: i64 =
        sqlx::query_scalar("select count(*) from run_artifacts where run_id = $1 and removed_at is not null")
            .bind(removed.uuid())
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(listed, 2, "they are known as removed");
}

#[tokio::test]
async fn a_run_is_left_to_the_host_that_it_ran_on_unless_that_takes_too_long() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let elsewhere: HostId = fresh();
    sqlx::query(
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
         values ($1, 'other', 'other', 'otherhost', 'b', 'docker', 1, 1)",
    )
    .bind(elsewhere.uuid())
    .execute(&world.pool)
    .await
    .unwrap();
    let (theirs, job) = another(&world).await;
    world.step(job, Event::Cancel).await;
    sqlx::query("update run_jobs set host_id = $2 where id = $1")
        .bind(job.uuid())
        .bind(elsewhere.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    close(&world, theirs).await;
    let ours = cancelled(&world).await;
    until_filed(&world, ours).await;
    assert!(!filed(&world, theirs).await && !dir(&world, theirs).exists(), "it ended before, and was seen");
    sqlx::query("update runs set finished_at = now() - interval '11 minutes' where id = $1")
        .bind(theirs.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    until_filed(&world, theirs).await;
    assert_copied(&world, theirs).await;
}

#[tokio::test]
async fn a_stranger_in_the_place_of_one_report_keeps_no_other_from_its_file() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let outside = tempfile::tempdir().unwrap();
    let blocked = cancelled(&world).await;
    fs::create_dir_all(dir(&world, blocked).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir(&world, blocked)).unwrap();
    let next = cancelled(&world).await;
    let _launcher = world.launcher(&[]).await;
    until_filed(&world, next).await;
    assert_copied(&world, next).await;
    assert!(!filed(&world, blocked).await);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "nothing was written where the link leads");
    fs::remove_file(dir(&world, blocked)).unwrap();
    until_filed(&world, blocked).await;
    assert_copied(&world, blocked).await;
}
