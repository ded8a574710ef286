//! What a job is given by name: secrets as files and nothing else, model caches read-only, its directive as a file.

use std::os::unix::fs::PermissionsExt as _;

use bollard::Docker;
use cyberbrain_core::{
    grant::{CacheRef, SecretRef},
    lifecycle::AttemptState,
    spec::{ImageRef, JobSpec, RetryPolicy},
};
use cyberbrain_testkit::wait_until;
use tempfile::TempDir;

use super::world::{GOOD, PATIENCE, World, spec};
use crate::kept;

const PLANTED: &str = "planted-hunter2-a81f";

fn shell(script: &str) -> JobSpec {
    // Forgiving, so that what is never tried again stands out.
    let retry = RetryPolicy { max_attempts: 3, max_infra_failures: 5, backoff_seconds: 1 };
    JobSpec { command: vec!["/bin/bash".into(), "-c".into(), script.into()], retry, ..spec() }
}

fn secret(name: &str) -> SecretRef {
    SecretRef { name: name.into(), path_variable: Some("TOKEN_FILE".into()) }
}

fn secrets() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, mode) in [("token", 0o444), ("closed", 0o400)] {
        std::fs::write(dir.path().join(name), PLANTED).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_secret_is_a_file_for_the_worker_and_nowhere_else() {
    let Some(world) = World::new().await else { return };
    let secrets = secrets();
    let _launcher = world.launcher(&["--secrets-dir", secrets.path().to_str().unwrap()]).await;
    let script = format!(
        "s=$(cat \"$TOKEN_FILE\"); echo \"${{#s}} characters in $TOKEN_FILE\"
        if echo x > /run/secrets/token; then exit 9; fi
        if [ -e /run/secrets/closed ]; then exit 8; fi
        until [ -e /logs/go ]; do sleep 0.1; done; {GOOD}"
    );
    let job = world.job(JobSpec { secrets: vec![secret("token")], ..shell(&script) }).await;
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    let name = format!("cb-{attempt}-f1");
    let seen = Docker::connect_with_defaults().unwrap().inspect_container(&name, None).await.unwrap();
    let seen = format!("{seen:?}");
    assert!(seen.contains("TOKEN_FILE=/run/secrets/token") && !seen.contains(PLANTED), "{seen}");
    let dir = world.attempt_dir(job, attempt);
    std::fs::write(dir.join("out/go"), "").unwrap();
    let row = world.until_released(attempt).await;
    assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{row:?}");
    let log = std::fs::read_to_string(dir.join("container-f1.log")).unwrap();
    let expected = format!("{} characters in /run/secrets/token", PLANTED.len());
    assert!(log.contains(&expected) && log.contains("Read-only file system"), "{log}");
    kept::assert_not_in_the_database(&world.pool, &[PLANTED]).await;
    kept::assert_not_in_files(world.data.path(), &[PLANTED]);
    let audited: i64 = sqlx::query_scalar(
        "select count(*) from worker_audit where operation = 'spawn' and config_snapshot->'secrets' = '[\"/run/secrets/token\"]'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(audited, 1, "by name, that it was given is on record");
}

#[tokio::test]
async fn a_secret_that_is_not_there_ends_the_job_before_its_container_and_for_good() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let secrets = secrets();
    let _launcher = world.launcher(&["--secrets-dir", secrets.path().to_str().unwrap()]).await;
    for (name, part) in [("other", "there is no secret other"), ("../token", "no name"), (".", "no name")] {
        let job = world.job(JobSpec { secrets: vec![secret(name)], ..shell("true") }).await;
        let row = world.until_released(world.offer(job).await).await;
        assert_eq!(
            (row.status.as_str(), row.job_failure.as_deref()),
            ("failed", Some("secret_missing")),
            "{row:?}"
        );
        assert!(row.failure_detail.as_ref().unwrap().contains(part), "{row:?}");
        assert_eq!(row.container_id, None);
        assert!(world.audit(job).await.contains(&"refuse".to_owned()));
    }
}

#[tokio::test]
async fn a_named_model_cache_is_given_read_only_and_no_other() {
    let Some(world) = World::new().await else { return };
    let models = tempfile::tempdir().unwrap();
    std::fs::set_permissions(models.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(models.path().join("weights"), "w8").unwrap();
    let option = format!("llama={}", models.path().display());
    let _launcher = world.launcher(&["--model-cache", &option]).await;
    let cache = |name: &str| vec![CacheRef { name: name.into(), target: "/models/llama".into() }];
    let script = format!(
        "cat /models/llama/weights; cat /input/directive.md; if touch /models/llama/x; then exit 9; fi; {GOOD}"
    );
    let job = world.job(JobSpec { caches: cache("llama"), ..shell(&script) }).await;
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    let log = std::fs::read_to_string(world.attempt_dir(job, attempt).join("container-f1.log")).unwrap();
    assert!(log.contains(" stdout w8do it") && log.contains("Read-only file system"), "{log}");

    let job = world.job(JobSpec { caches: cache("gpt"), ..shell("true") }).await;
    let row = world.until_released(world.offer(job).await).await;
    assert_eq!(row.job_failure.as_deref(), Some("cache_not_allowed"), "{row:?}");
    assert!(row.failure_detail.unwrap().contains("--model-cache gpt=/path"));
    wait_until("nothing to be left", PATIENCE, async || {
        world.engine.list_ours(world.instance).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_a_process_is_given_neither_and_the_job_says_so() {
    let Some(world) = World::processes().await else { return };
    let secrets = secrets();
    let models = format!("llama={}", secrets.path().display());
    let options = ["--secrets-dir", secrets.path().to_str().unwrap(), "--model-cache", &models];
    let _launcher = world.launcher(&options).await;
    let builtin = |script: &str| JobSpec {
        image: ImageRef::builtin(),
        command: vec![script.replace("/logs", "$CYBERBRAIN_OUTPUT_DIR")],
        ..shell("")
    };
    let caches = vec![CacheRef { name: "llama".into(), target: "/models".into() }];
    for (spec, failure) in [
        (JobSpec { secrets: vec![secret("token")], ..builtin(GOOD) }, "secret_missing"),
        (JobSpec { caches, ..builtin(GOOD) }, "cache_not_allowed"),
    ] {
        let job = world.job(spec).await;
        let row = world.until_released(world.offer(job).await).await;
        assert_eq!((row.status.as_str(), row.job_failure.as_deref()), ("failed", Some(failure)), "{row:?}");
        let detail = row.failure_detail.as_ref().unwrap();
        assert!(detail.contains("are processes") && detail.contains("container engine"), "{row:?}");
        assert_eq!(row.container_id, None, "nothing was started");
    }
    let job = world.job(builtin(GOOD)).await;
    assert_eq!(world.until_released(world.offer(job).await).await.status, "success");
}
