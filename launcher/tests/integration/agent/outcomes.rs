//! Every way in which a worker can end, on a real engine.

use std::time::Duration;

use cyberbrain_core::{
    lifecycle::{AttemptState, Event},
    spec::{ImageRef, JobSpec, Timeouts},
};
use cyberbrain_testkit::wait_for;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::world::{GOOD, PATIENCE, Row, World, spec};

async fn outcome(world: &World, spec: JobSpec) -> Row {
    let job = world.job(spec).await;
    let attempt = world.offer(job).await;
    world.until_released(attempt).await
}

fn shell(script: &str) -> JobSpec {
    JobSpec { command: vec!["/bin/sh".into(), "-c".into(), script.into()], ..spec() }
}

#[tokio::test]
async fn a_job_succeeds_and_every_stage_is_on_record() {
    let Some(world) = World::new().await else { return };
    let launcher = world.launcher(&[]).await;
    let script = format!(
        "cat /input/job.json > /logs/job.json; echo hello; echo oops >&2; {GOOD}; echo '# Report' > /logs/report.md"
    );
    let (job, attempt) = world.offered(&script).await;
    let row = world.until_released(attempt).await;
    assert_eq!(
        (row.status.as_str(), row.state.as_str(), row.exit_code),
        ("success", "done", Some(0)),
        "{row:?}"
    );
    assert_eq!(row.result.unwrap()["values"]["answer"], 42);
    assert_eq!(
        world.audit(job).await,
        ["assign", "accept", "stage", "spawn", "start", "stop", "finish", "remove"],
        "one row per stage"
    );
    let containers: Vec<Option<String>> = sqlx::query_scalar(
        "select container_id from worker_audit where run_job_id = $1 and operation in ('spawn', 'start', 'stop', 'remove')",
    )
    .bind(job.uuid())
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(containers.iter().all(|id| *id == row.container_id), "{containers:?}");

    let dir = world.attempt_dir(job, attempt);
    let staged: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("out/job.json")).unwrap()).unwrap();
    assert_eq!((&staged["task_key"], &staged["params"]["depth"]), (&"custom_job".into(), &3.into()));
    assert_eq!((&staged["host"], &staged["directive"]["text"]), (&"testhost".into(), &"do it".into()));
    let log = std::fs::read_to_string(dir.join("container-f1.log")).unwrap();
    assert!(log.contains(" stdout hello\n") && log.contains(" stderr oops\n"), "{log}");
    assert!(!dir.join("in").exists(), "what was staged is gone");

    let artifacts: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(
        "select path, artifact_type, size_bytes, sha256 from run_artifacts where run_job_id = $1 order by path",
    )
    .bind(job.uuid())
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let kinds: Vec<_> =
        artifacts.iter().map(|(path, kind, ..)| (path.rsplit('/').next().unwrap(), kind.as_str())).collect();
    assert_eq!(
        kinds,
        [("container-f1.log", "log"), ("job.json", "data"), ("report.md", "report"), ("result.json", "data")]
    );
    for (path, _, size, hash) in artifacts {
        let bytes = std::fs::read(world.data.path().join("logs").join(&path)).unwrap();
        assert_eq!(size, i64::try_from(bytes.len()).unwrap(), "{path}");
        assert_eq!(hash, Sha256::digest(&bytes).to_vec(), "{path}");
    }
    world.assert_clean().await;
    launcher.stop().await.unwrap();
}

#[tokio::test]
async fn failures_are_told_apart() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let eat = "head -c 64000000 /dev/zero | tail -c 64000000 > /dev/null";
    for (what, spec, failure, code) in [
        ("exit 3", shell("exit 3"), "nonzero_exit", Some(3)),
        ("memory", shell(eat), "host_oom", None),
        ("no result", shell("true"), "result_invalid", Some(0)),
        ("link", shell("ln -s /etc/passwd /logs/result.json"), "result_invalid", Some(0)),
        ("fifo", shell("mkfifo /logs/result.json"), "result_invalid", Some(0)),
        ("garbage", shell("echo '{' > /logs/result.json"), "result_invalid", Some(0)),
        ("killed by itself", shell("kill -9 $$"), "daemon_restarted", Some(137)),
        (
            "no such program",
            JobSpec { command: vec!["/bin/nope".into()], ..spec() },
            "entrypoint_invalid",
            Some(127),
        ),
    ] {
        let row = outcome(&world, spec).await;
        assert_eq!(
            (row.status.as_str(), row.failure.as_deref()),
            ("failed", Some(failure)),
            "{what}: {row:?}"
        );
        assert_eq!(row.job_failure.as_deref(), Some(failure), "{what}");
        if code.is_some() {
            assert_eq!(row.exit_code, code, "{what}: {row:?}");
        }
        assert!(row.failure_detail.is_some(), "{what}");
        assert!(row.result.is_none(), "{what}");
    }
    world.assert_clean().await;
}

#[tokio::test]
async fn an_image_that_is_not_allowed_never_runs() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let stranger =
        JobSpec { image: ImageRef { name: "stranger".into(), tag: "latest".into() }, ..shell("true") };
    let job = world.job(stranger).await;
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.failure.as_deref(), Some("image_not_allowed"));
    assert_eq!((row.status.as_str(), row.container_id), ("failed", None));
    assert_eq!(world.audit(job).await, ["assign", "accept", "refuse", "finish", "remove"]);

    let gone = format!("sha256:{}", "0".repeat(64));
    sqlx::query(
        "insert into worker_image_allowlist (id, name, tag, pin) values (gen_random_uuid(), 'gone', 'x', $1)",
    )
    .bind(gone)
    .execute(&world.pool)
    .await
    .unwrap();
    let row = outcome(
        &world,
        JobSpec { image: ImageRef { name: "gone".into(), tag: "x".into() }, ..shell("true") },
    )
    .await;
    assert_eq!(row.failure.as_deref(), Some("image_missing"), "allowed, but not on this engine");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_cancelled_job_gets_sigterm_then_sigkill() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let polite = "trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.1; done";
    let deaf = "trap '' TERM; echo ready; while true; do sleep 0.1; done";
    let mut waiting = Vec::new();
    for script in [polite, deaf] {
        waiting.push(world.offered(script).await);
    }
    for &(job, attempt) in &waiting {
        world.until_state(attempt, AttemptState::Running).await;
        world.step(job, Event::Cancel).await;
    }
    let begun = Instant::now();
    for &(job, attempt) in &waiting {
        let row = world.until_released(attempt).await;
        assert_eq!(
            (row.status.as_str(), row.stop_reason.as_deref()),
            ("cancelled", Some("cancel")),
            "{row:?}"
        );
        assert!(world.audit(job).await.contains(&"stop".to_owned()));
    }
    // Contact every 5 s, a grace of 2 s, and an engine that is slow here.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let log = |(job, attempt)| {
        std::fs::read_to_string(world.attempt_dir(job, attempt).join("container-f1.log")).unwrap()
    };
    assert!(log(waiting[0]).contains("bye"), "it was asked first");
    assert_eq!(world.row(waiting[1].1).await.exit_code, Some(137), "it did not listen");
    world.assert_clean().await;
}

#[tokio::test]
async fn a_job_that_was_cancelled_before_it_began_never_runs() {
    let Some(world) = World::new().await else { return };
    let (job, attempt) = {
        let launcher = world.launcher(&[]).await;
        launcher.stop().await.unwrap();
        world.offered("sleep 60").await
    };
    // As if the request came between the acceptance and the launcher's death.
    let orphan = world.launchers_of_nobody().await;
    let accept = Event::Accept { fence: cyberbrain_core::ids::Fence(1) };
    world.step_as(job, accept, orphan).await;
    world.step(job, Event::Cancel).await;
    world.declare_silent(orphan).await;
    let _launcher = world.launcher(&[]).await;
    let row = world.until_released(attempt).await;
    assert_eq!((row.status.as_str(), row.container_id), ("cancelled", None), "{:?}", row.failure);
    world.assert_clean().await;
}

#[tokio::test]
async fn a_job_that_takes_too_long_or_writes_too_much_is_stopped() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&["--log-quota-mib", "2", "--log-keep-mib", "1"]).await;
    let short = Timeouts { run_seconds: 1, stop_grace_seconds: 1, ..Timeouts::default() };
    let slow = outcome(&world, JobSpec { timeouts: short, ..shell("sleep 60") }).await;
    assert_eq!(slow.failure.as_deref(), Some("timeout_run"), "{slow:?}");
    assert_eq!(slow.stop_reason.as_deref(), Some("timeout_run"));

    let job = world.job(shell("yes 0123456789012345678901234567890123456789")).await;
    let attempt = world.offer(job).await;
    let loud = world.until_released(attempt).await;
    assert_eq!(loud.failure.as_deref(), Some("log_quota"), "{loud:?}");
    let log = world.attempt_dir(job, attempt).join("container-f1.log");
    let size = std::fs::metadata(&log).unwrap().len();
    assert!((900_000..1_100_000).contains(&size), "kept: {size}");
    assert!(std::fs::read_to_string(log).unwrap().contains("more bytes were not kept"));
    world.assert_clean().await;
}

#[tokio::test]
async fn fifty_megabytes_of_output_are_kept_and_counted() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&["--log-keep-mib", "200"]).await;
    let line = "0123456789012345678901234567890123456789012345678901234567890123456789012345678";
    let (job, attempt) = world.offered(&format!("yes {line} | head -n 655360; {GOOD}")).await;
    let row = world.until_released_within(attempt, PATIENCE * 5).await;
    assert_eq!(row.status, "success", "{row:?}");
    let log = std::fs::read(world.attempt_dir(job, attempt).join("container-f1.log")).unwrap();
    let lines = log.split(|byte| *byte == b'\n').filter(|text| text.ends_with(line.as_bytes())).count();
    assert_eq!(lines, 655_360, "every line of 50 MiB");
    world.assert_clean().await;
}

#[tokio::test]
async fn progress_is_stored_while_it_runs() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let say = |percent: u32| {
        format!(
            r#"echo '{{"cyberbrain":{{"progress":{{"percent":{percent},"stage":"step","done":{percent},"total":100}}}}}}'"#
        )
    };
    let script = format!("{}; while ! test -e /logs/go; do sleep 0.1; done; {}; {GOOD}", say(40), say(90));
    let (job, attempt) = world.offered(&script).await;
    wait_for("the first progress", PATIENCE, async || {
        let row = world.row(attempt).await;
        let progress = row.progress?;
        assert_eq!((row.state.as_str(), &progress["stage"]), ("running", &"step".into()));
        (progress["percent"] == 40.0).then_some(())
    })
    .await;
    std::fs::write(world.attempt_dir(job, attempt).join("out/go"), "").unwrap();
    assert_eq!(world.until_released(attempt).await.status, "success");
    world.assert_clean().await;
}
