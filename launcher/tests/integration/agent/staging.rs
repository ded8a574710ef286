//! What workers are given.

use cyberbrain_common::ids::fresh;
use cyberbrain_core::{
    lifecycle::AttemptState,
    outcome::{JobResult, LogTriage, ModelOpinion, ServiceMap, SeverityCounts},
    spec::JobSpec,
    staging::{ContainerState, GpuWindow, Inventory, LogIndex, LogReading, MapScope, parse_line},
};
use cyberbrain_launcher::runtime::ContainerPlan;

use super::world::{World, spec};
use crate::docker_engine::helper;

fn empty_triage() -> String {
    let triage = JobResult::LogTriage(LogTriage {
        window: None,
        compared_with: None,
        entries: 0,
        lines: 0,
        bytes: 0,
        malformed_lines: 0,
        cut_lines: 0,
        severities: SeverityCounts::default(),
        sources: Vec::new(),
        sources_left_out: 0,
        containers_left_out: 0,
        templates: Vec::new(),
        templates_left_out: 0,
        untemplated_entries: 0,
        stack_traces: Vec::new(),
        stack_traces_left_out: 0,
        findings: Vec::new(),
        findings_left_out: 0,
        model: ModelOpinion::default(),
    });
    serde_json::to_string(&triage).unwrap()
}

/// Keeps what it was given, then ends with this code.
fn triage(code: u8) -> JobSpec {
    let script = format!(
        "cat /input/logs/index.json > /logs/index.json; cat /input/logs/0* > /logs/all.txt 2>/dev/null; \
         ls /input > /logs/given.txt; printf '%s' \"$RESULT\" > /logs/result.json; exit {code}"
    );
    JobSpec {
        task_key: "log_triage".into(),
        command: vec!["/bin/sh".into(), "-c".into(), script],
        env: [("RESULT".to_owned(), empty_triage())].into(),
        ..spec()
    }
}

struct Given {
    index: LogIndex,
    texts: Vec<String>,
    files: String,
}

async fn given(world: &World, spec: JobSpec, status: &str) -> Given {
    given_with(world, spec, status, &serde_json::json!({})).await
}

async fn given_with(world: &World, spec: JobSpec, status: &str, params: &serde_json::Value) -> Given {
    let job = world.job(spec).await;
    sqlx::query("update run_jobs set params = $2 where id = $1")
        .bind(job.uuid())
        .bind(params)
        .execute(&world.pool)
        .await
        .unwrap();
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, status, "{row:?}");
    let out = world.attempt_dir(job, attempt).join("out");
    let read = |name| std::fs::read_to_string(out.join(name)).unwrap();
    let texts = read("all.txt").lines().map(|line| parse_line(line).unwrap().text.to_owned()).collect();
    Given { index: serde_json::from_str(&read("index.json")).unwrap(), texts, files: read("given.txt") }
}

/// A container that is not ours and says one line at a time.
async fn speaker(world: &World, script: &str) -> ContainerPlan {
    let pin: String = sqlx::query_scalar("select pin from worker_image_allowlist where name = 'shell'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    // Of another instance, so that nobody here takes it for a stray.
    let plan = helper(fresh(), &cyberbrain_launcher::runtime::ImageId::parse(pin).unwrap(), script);
    world.engine.create(&plan).await.unwrap();
    world.engine.start(&plan.name).await.unwrap();
    world.engine.wait(&plan.name).await;
    plan
}

#[tokio::test]
async fn logs_of_allowed_containers_are_staged_once_per_success() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let allowed = speaker(&world, "echo first; echo second >&2; exit 3").await;
    let secret = speaker(&world, "echo nobody may read this").await;
    sqlx::query("insert into container_allowlist (container_id, container_name) values ('placeholder', $1)")
        .bind(allowed.name.as_str())
        .execute(&world.pool)
        .await
        .unwrap();

    let failed = given(&world, triage(7), "failed").await;
    let mut texts = failed.texts.clone();
    texts.sort();
    assert_eq!(texts, ["first", "second"]);
    assert_eq!(failed.index.sources.len(), 1, "only what is allowed: {:?}", failed.index);
    let source = &failed.index.sources[0];
    assert_eq!((source.name.as_str(), source.host.as_str()), (allowed.name.as_str(), "testhost"));
    assert_eq!((source.reading, source.dropped_lines), (LogReading::Complete, 0));
    assert_eq!((source.state, source.restart_count), (Some(ContainerState::Exited), 0));
    let exit = source.last_exit.unwrap();
    assert_eq!((exit.code, exit.out_of_memory), (3, false), "as the engine tells it");
    assert!(!failed.files.contains("previous.json"), "nothing succeeded before");

    let again = given(&world, triage(0), "success").await;
    assert_eq!(again.texts.len(), 2, "a failure moves no cursor");
    let after = given(&world, triage(0), "success").await;
    assert_eq!(after.texts, [""; 0], "a success does");
    assert_eq!(
        after.index.sources[0].since.unwrap().timestamp_micros(),
        again.index.sources[0].until.timestamp_micros(),
        "it goes on where the last success ended"
    );
    assert!(after.files.contains("previous.json"));

    // Asked for by hand: everything is read again, and where the next one goes on stays as it is.
    let asked = given_with(&world, triage(0), "success", &serde_json::json!({ "window_hours": 1 })).await;
    assert_eq!(asked.texts.len(), 2);
    let elsewhere = serde_json::json!({ "containers": ["nothing"] });
    assert_eq!(given_with(&world, triage(0), "success", &elsewhere).await.index.sources, []);
    let next = given(&world, triage(0), "success").await;
    assert_eq!(next.index.sources[0].since, Some(after.index.sources[0].until));
    for plan in [allowed, secret] {
        world.engine.remove(&plan.name).await.unwrap();
    }
    world.assert_clean().await;
}

/// Keeps the inventory that it was given, and leaves an empty map.
fn mapping() -> JobSpec {
    let map = JobResult::ServiceMap(ServiceMap {
        taken_at: chrono::Utc::now(),
        host: "testhost".into(),
        services: Vec::new(),
        services_left_out: 0,
        edges: Vec::new(),
        edges_left_out: 0,
        networks: 0,
        scope: MapScope::Allowlist,
        not_shown: 0,
        compared_with: None,
        changes: Vec::new(),
        changes_left_out: 0,
    });
    let script = "cat /input/inventory.json > /logs/inventory.json; ls /input > /logs/given.txt; \
        printf '%s' \"$RESULT\" > /logs/result.json";
    JobSpec {
        task_key: "service_map".into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: [("RESULT".to_owned(), serde_json::to_string(&map).unwrap())].into(),
        ..spec()
    }
}

async fn mapped(world: &World, params: &str) -> (Inventory, String) {
    let job = world.job(mapping()).await;
    sqlx::query("update run_jobs set params = $2::jsonb where id = $1")
        .bind(job.uuid())
        .bind(params)
        .execute(&world.pool)
        .await
        .unwrap();
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    let out = world.attempt_dir(job, attempt).join("out");
    let read = |name| std::fs::read_to_string(out.join(name)).unwrap();
    (serde_json::from_str(&read("inventory.json")).unwrap(), read("given.txt"))
}

#[tokio::test]
async fn a_service_map_is_given_the_allowlist_unless_it_asks_for_all() {
    let Some(world) = World::new().await else { return };
    let _launcher = world.launcher(&[]).await;
    let allowed = speaker(&world, "echo one").await;
    let other = speaker(&world, "echo two").await;
    sqlx::query("insert into container_allowlist (container_id, container_name) values ('placeholder', $1)")
        .bind(allowed.name.as_str())
        .execute(&world.pool)
        .await
        .unwrap();
    let names = |inventory: &Inventory| -> Vec<String> {
        inventory.containers.iter().map(|container| container.name.clone()).collect()
    };
    let (usual, files) = mapped(&world, "{}").await;
    assert_eq!((names(&usual), usual.scope), (vec![allowed.name.to_string()], MapScope::Allowlist));
    assert!(usual.not_shown >= 1, "the other one at least");
    assert!(!files.contains("previous.json"), "nothing succeeded before");
    let (all, files) = mapped(&world, r#"{"scope": "all"}"#).await;
    assert!(names(&all).contains(&other.name.to_string()), "{:?}", names(&all));
    assert_eq!((all.scope, all.not_shown), (MapScope::All, 0));
    assert!(files.contains("previous.json"), "what to compare with");
    let (least, _) = mapped(&world, r#"{"scope": "everything"}"#).await;
    assert_eq!(names(&least), names(&usual), "what is no scope shows the least");
    for plan in [allowed, other] {
        world.engine.remove(&plan.name).await.unwrap();
    }
    world.assert_clean().await;
}

#[tokio::test]
async fn gpu_samples_and_leases_of_the_window_are_staged() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let host = world.host().await;
    sqlx::query(
        "insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
         values ('GPU-1', $1, 0, 'test', true, 24576, 24000)",
    )
    .bind(host.uuid())
    .execute(&world.pool)
    .await
    .unwrap();
    for (minutes, used) in [(5, 4_000), (30, 3_000), (600, 1)] {
        sqlx::query(
            "insert into gpu_samples (gpu_uuid, at, used_mib, reserved_mib, foreign_mib, utilization_percent)
             values ('GPU-1', now() - make_interval(mins => $1), $2, 100, 7, 42)",
        )
        .bind(minutes)
        .bind(used)
        .execute(&world.pool)
        .await
        .unwrap();
    }
    sqlx::raw_sql(
        "insert into gpu_samples (gpu_uuid, at, used_mib, reserved_mib, foreign_mib, throttle_reasons, ecc_corrected,
             ecc_uncorrected) values ('GPU-1', now() - interval '1 minute', 5000, 0, 0, 68, 12, 3);
         insert into gpu_xid_events (gpu_uuid, at, xid) values ('GPU-1', now() - interval '2 minutes', 79),
             ('GPU-1', now() - interval '2 hours', 31)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let env = [("CYBERBRAIN_SIMULATE".to_owned(), "run_ms=600000".to_owned())].into();
    let job = world.job(JobSpec { task_key: "gpu_report".into(), env, ..spec() }).await;
    sqlx::query("update run_jobs set params = '{\"window_hours\": 1}' where id = $1")
        .bind(job.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    let attempt = world.offer(job).await;
    world.until_state(attempt, AttemptState::Running).await;
    let staged = world.attempt_dir(job, attempt).join("in/gpu.json");
    let window: GpuWindow = serde_json::from_slice(&std::fs::read(staged).unwrap()).unwrap();
    assert_eq!((window.window.to - window.window.from).num_minutes(), 60);
    assert_eq!(window.gpus.len(), 1);
    let used: Vec<u32> = window.gpus[0].samples.iter().map(|sample| sample.used_mib).collect();
    assert_eq!(used, [3_000, 4_000, 5_000], "in order of time, inside the window");
    let [first, _, last] = window.gpus[0].samples[..] else { panic!("{:?}", window.gpus[0].samples) };
    assert_eq!((first.utilization_percent, first.throttle, first.ecc_corrected), (Some(42), None, None));
    assert_eq!(last.utilization_percent, None, "not told is not idle");
    let reasons = cyberbrain_core::staging::ThrottleReasons::from_bits(0x44);
    assert_eq!((last.throttle, last.ecc_corrected, last.ecc_uncorrected), (Some(reasons), Some(12), Some(3)));
    let xids: Vec<u32> = window.gpus[0].xids.iter().map(|event| event.xid).collect();
    assert_eq!((xids, window.gpus[0].samples_left_out), (vec![79], 0));
    world.step(job, cyberbrain_core::lifecycle::Event::Cancel).await;
    world.until_released(attempt).await;
}
