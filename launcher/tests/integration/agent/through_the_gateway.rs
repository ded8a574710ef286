//! Workers in real containers that call language models through the gateway of their launcher.

use std::path::PathBuf;

use cyberbrain_core::{
    lifecycle::AttemptState,
    spec::{ImageRef, JobSpec, Network},
};
use cyberbrain_testkit::wait_until;
use serde_json::json;

use super::world::{GOOD, PATIENCE, World, spec};
use crate::{
    gateway::stub::{Reply, Stub},
    kept::{self, Kept},
};

/// A shell function that asks, by bash's own means, and leaves the answer's first line and its last in a file.
const ASK: &str = r#"
ask() {
    local rest=${OPENAI_BASE_URL#http://}; local authority=${rest%%/*}
    exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}" || return 1
    local body="{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"$1\"}]}"
    printf 'POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s' \
        "$OPENAI_API_KEY" "${#body}" "$body" >&3
    head -n 1 <&3 > "/logs/$2"
    cat <&3 > /tmp/answer
    exec 3>&-
}
"#;

fn answer(content: &str) -> Reply {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    Reply::Json(200, json!({"choices": [{"message": {"content": content}}], "usage": usage}).to_string())
}

fn bash(script: &str) -> JobSpec {
    JobSpec {
        command: vec!["/bin/bash".into(), "-c".into(), format!("{ASK}\n{script}")],
        network: Network::Bridge,
        ..spec()
    }
}

/// An endpoints file in the world's directory.
fn endpoints(world: &World, stub: &Stub) -> PathBuf {
    let path = world.data.path().join("endpoints.json");
    let file = json!({"endpoints": [
        {"name": "stub", "kind": "openai", "base_url": stub.url(), "models": {"default": "real"}}]});
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

async fn calls(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from llm_calls where success and total_tokens = 7")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_worker_in_a_container_calls_through_the_bridge_with_the_key_of_its_environment() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let launcher = world.launcher(&["--llm-endpoints", file.to_str().unwrap()]).await;
    let script = format!("cat /input/job.json > /logs/job.json; ask hello status; {GOOD}");
    let job = world.job(bash(&script)).await;
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    let out = world.attempt_dir(job, attempt).join("out");
    assert_eq!(std::fs::read_to_string(out.join("status")).unwrap(), "HTTP/1.1 200 OK\r\n");
    assert_eq!(stub.seen()[0].body["messages"][0]["content"], "hello");
    // They were on record before the attempt's end was, so that a report made of it has them.
    let sums: (i64, i64) = sqlx::query_as("select prompt_tokens, completion_tokens from run_jobs")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!((sums, calls(&world).await), ((3, 4), 1));
    let staged = std::fs::read_to_string(out.join("job.json")).unwrap();
    let input: serde_json::Value = serde_json::from_str(&staged).unwrap();
    assert_eq!((&input["llm"]["state"], &input["llm"]["models"]), (&json!("gateway"), &json!(["default"])));
    let url = input["llm"]["base_url"].as_str().unwrap();
    assert!(
        url.starts_with("http://172.") || url.starts_with("http://10.") || url.starts_with("http://192.168."),
        "{url}"
    );
    assert!(!staged.contains("cbw_"), "the key is in no file");
    let audit: Vec<String> = sqlx::query_scalar("select to_jsonb(a)::text from worker_audit a")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert!(audit.iter().any(|row| row.contains(r#""llm": "gateway""#)), "{audit:?}");
    assert!(audit.iter().all(|row| !row.contains("cbw_")), "{audit:?}");
    launcher.stop().await.unwrap();
    world.assert_clean().await;
}

#[tokio::test]
async fn a_worker_that_is_a_process_calls_through_loopback() {
    let Some(world) = World::processes().await else { return };
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let launcher = world.launcher(&["--llm-endpoints", file.to_str().unwrap()]).await;
    let script = format!("{ASK}\nask hello status; {GOOD}").replace("/logs", "$CYBERBRAIN_OUTPUT_DIR");
    let spec = JobSpec { image: ImageRef::builtin(), command: vec![script], ..bash("") };
    let job = world.job(spec).await;
    let attempt = world.offer(job).await;
    let row = world.until_released(attempt).await;
    assert_eq!(row.status, "success", "{row:?}");
    let status = std::fs::read_to_string(world.attempt_dir(job, attempt).join("out/status")).unwrap();
    assert_eq!((status.as_str(), calls(&world).await), ("HTTP/1.1 200 OK\r\n", 1));
    launcher.stop().await.unwrap();
}

#[tokio::test]
async fn an_adopted_container_keeps_its_gateway() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let options = ["--llm-endpoints", file.to_str().unwrap()];
    let first = world.launcher(&options).await;
    let script =
        format!("ask one first; while ! test -e /logs/go; do sleep 0.05; done; ask two second; {GOOD}");
    let job = world.job(bash(&script)).await;
    let attempt = world.offer(job).await;
    wait_until("the first call", PATIENCE, async || calls(&world).await == 1).await;
    world.until_state(attempt, AttemptState::Running).await;
    let dead = first.id;
    first.kill();
    world.declare_silent(dead).await;
    let second = world.launcher(&options).await;
    wait_until("the adoption", PATIENCE, async || {
        world.row(attempt).await.launcher_id == Some(second.id.uuid())
    })
    .await;
    let out = world.attempt_dir(job, attempt).join("out");
    std::fs::write(out.join("go"), "").unwrap();
    assert_eq!(world.until_released(attempt).await.status, "success");
    assert_eq!(std::fs::read_to_string(out.join("second")).unwrap(), "HTTP/1.1 200 OK\r\n");
    assert_eq!(calls(&world).await, 2);
    world.assert_clean().await;
}

#[tokio::test]
async fn a_worker_without_a_network_has_no_gateway_and_is_told_so() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let _launcher = world.launcher(&["--llm-endpoints", file.to_str().unwrap()]).await;
    let script = format!(
        "cat /input/job.json > /logs/job.json; echo \"${{OPENAI_API_KEY-none}}\" > /logs/key; {GOOD}"
    );
    let job = world.job(JobSpec { network: Network::None, ..bash(&script) }).await;
    let attempt = world.offer(job).await;
    assert_eq!(world.until_released(attempt).await.status, "success");
    let out = world.attempt_dir(job, attempt).join("out");
    assert_eq!(std::fs::read_to_string(out.join("key")).unwrap(), "none\n");
    let input: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("job.json")).unwrap()).unwrap();
    assert_eq!(input["llm"], json!({"state": "no_network"}));
    let said: i64 = sqlx::query_scalar(
        "select count(*) from worker_audit where operation = 'spawn' and config_snapshot ->> 'llm' = 'no_network'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(said, 1);
}

#[tokio::test]
async fn a_job_that_names_its_own_way_does_not_get_our_key() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let _launcher = world.launcher(&["--llm-endpoints", file.to_str().unwrap()]).await;
    let script = format!("echo \"$OPENAI_BASE_URL ${{OPENAI_API_KEY-none}}\" > /logs/env; {GOOD}");
    let env = [("OPENAI_BASE_URL".to_owned(), "http://elsewhere/v1".to_owned())].into();
    let job = world.job(JobSpec { env, ..bash(&script) }).await;
    let attempt = world.offer(job).await;
    assert_eq!(world.until_released(attempt).await.status, "success");
    let seen = std::fs::read_to_string(world.attempt_dir(job, attempt).join("out/env")).unwrap();
    assert_eq!(seen, "http://elsewhere/v1 none\n");
}

#[tokio::test]
async fn nothing_of_a_prompt_or_an_answer_is_kept_in_a_table_a_log_or_a_metric() {
    let kept = Kept::watch_for(&["PLANTED-PROMPT-7f3a", "PLANTED-ANSWER-91bc"]);
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer("PLANTED-ANSWER-91bc")).await;
    let refusing =
        Stub::always(Reply::Json(400, r#"{"error":{"message":"PLANTED-ANSWER-91bc"}}"#.into())).await;
    for stub in [&stub, &refusing] {
        let file = endpoints(&world, stub);
        let launcher = world.launcher(&["--llm-endpoints", file.to_str().unwrap()]).await;
        // What the worker itself writes is its own, and so is its specification: the text is put together inside.
        let job = world.job(bash(&format!("ask PLANTED-\"\"PROMPT-7f3a status; {GOOD}"))).await;
        let attempt = world.offer(job).await;
        assert_eq!(world.until_released(attempt).await.status, "success");
        launcher.stop().await.unwrap();
    }
    assert_eq!(stub.seen()[0].body["messages"][0]["content"], "PLANTED-PROMPT-7f3a", "it did go through");
    assert_eq!(calls(&world).await, 1);
    kept.assert_seen_something_and_nothing_planted();
    kept::assert_not_in_the_database(&world.pool, &["PLANTED-PROMPT-7f3a", "PLANTED-ANSWER-91bc", "cbw_"])
        .await;
    kept::assert_not_in_files(world.data.path(), &["PLANTED-PROMPT-7f3a", "PLANTED-ANSWER-91bc", "cbw_"]);
}

#[tokio::test]
async fn a_launcher_that_can_not_offer_its_gateway_says_why_and_does_not_start() {
    let Some(world) = World::new().await else { return };
    let missing = world.start(&["--skip-preflight", "--llm-endpoints", "/no/such/file.json"]);
    let error = missing.ended().await.unwrap_err();
    assert!(error.to_string().contains("/no/such/file.json can't be read"), "{error}");
    let stub = Stub::always(answer("hi")).await;
    let file = endpoints(&world, &stub);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let options = ["--skip-preflight", "--llm-endpoints", file.to_str().unwrap(), "--llm-bind", &address];
    let error = world.start(&options).ended().await.unwrap_err();
    assert!(error.to_string().contains("--llm-bind"), "{error}");
}
