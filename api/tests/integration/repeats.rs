//! Retry and clone: what is repeated, by which rules, and how often.

use serde_json::{Value, json};

use crate::harness::Api;

/// Ends run jobs behind the API's back: those of this job with success, the others without.
async fn end(api: &Api, id: &str, succeeded: &str) {
    sqlx::query(
        "update run_jobs set status = case when task_key = $2 then 'success' else 'failed' end, finished_at = now(),
             failure = case when task_key = $2 then null else 'nonzero_exit' end
         where run_id = $1::uuid",
    )
    .bind(id)
    .bind(succeeded)
    .execute(&mut api.db.connect().await)
    .await
    .unwrap();
    sqlx::query("update runs set status = 'failed', finished_at = now() where id = $1::uuid")
        .bind(id)
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
}

fn keys(run: &Value) -> Vec<&str> {
    run["run_jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap()).collect()
}

/// What a RunJob is, without its id and state.
async fn frozen(api: &Api, run: &str) -> Vec<(String, Value, Value, i16, String)> {
    sqlx::query_as(
        "select name, spec, params, priority, shape from run_jobs where run_id = $1::uuid order by ordinal",
    )
    .bind(run)
    .fetch_all(&mut api.db.connect().await)
    .await
    .unwrap()
}

fn launched() -> Value {
    json!({
        "directive": "D4", "priority": 7, "tags": ["nightly"], "params": {"window": "1h"},
        "run_jobs": [
            {"job": "service_map", "name": "map"},
            {"job": "gpu_report", "name": "report", "params": {"a": [1, 2]}, "timeout_seconds": 77, "priority": -3},
            {"job": "gpu_report", "name": "another", "gpu": {"policy": "require", "min_vram_mib": 4096}},
        ],
    })
}

#[tokio::test]
async fn a_retry_does_again_what_did_not_succeed_as_it_was() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&launched()).await;
    let path = format!("/api/v1/runs/{id}/retry");
    let answer = api.post(&path, None).await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict".to_owned()), "it has not ended");
    end(&api, &id, "service_map").await;
    // A job's template may have changed since.
    api.execute(
        "update jobs set spec = jsonb_set(spec, '{timeouts,run_seconds}', '5') where task_key = 'gpu_report'",
    )
    .await;
    let answer = api.post(&path, None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    let again = run["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("/api/v1/runs/{again}"));
    assert_eq!(run["origin"], json!({ "kind": "retry", "run": id }));
    assert_eq!(keys(&run), ["gpu_report", "gpu_report"]);
    assert_eq!(frozen(&api, again).await, frozen(&api, &id).await[1..]);
    let kept = "select count(*) from runs where tags = '{nightly}' and priority = 7 and params = '{\"window\": \"1h\"}'";
    assert_eq!(api.count(kept).await, 2);
    let audited = "select count(*) from worker_audit where operation = 'submit' and config_snapshot -> 'origin' ->> 'kind' = 'retry'";
    assert_eq!(api.count(audited).await, 1);
    let origin = api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!((&origin["status"], &origin["origin"]), (&json!("failed"), &Value::Null), "the origin stays");
}

#[tokio::test]
async fn a_clone_does_everything_again_and_a_run_job_can_be_retried_alone() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&launched()).await;
    let answer = api.post(&format!("/api/v1/runs/{id}/clone"), None).await;
    assert_eq!(answer.status, 202, "a run that goes on can be cloned: {}", answer.text());
    let run = answer.json();
    assert_eq!(run["origin"], json!({ "kind": "clone", "run": id }));
    assert_eq!(frozen(&api, run["id"].as_str().unwrap()).await, frozen(&api, &id).await);

    let jobs = api.get(&format!("/api/v1/runs/{id}")).await.json()["run_jobs"].clone();
    let job = |n: usize| format!("/api/v1/run-jobs/{}/retry", jobs[n]["id"].as_str().unwrap());
    assert_eq!(api.post(&job(2), None).await.status, 409, "it has not ended");
    end(&api, &id, "service_map").await;
    assert_eq!(api.post(&job(0), None).await.status, 409, "it succeeded");
    let answer = api.post(&job(2), None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    assert_eq!(run["origin"], json!({ "kind": "retry", "run": id }));
    assert_eq!(frozen(&api, run["id"].as_str().unwrap()).await, frozen(&api, &id).await[2..]);
    for path in [
        "runs/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00/clone",
        "run-jobs/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00/retry",
    ] {
        assert_eq!(api.post(&format!("/api/v1/{path}"), None).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_clone_of_one_per_host_is_fanned_out_anew() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["log_triage"] })).await;
    // As admission leaves it on two hosts.
    api.execute(
        "update run_jobs set spec = jsonb_set(spec, '{host}', '\"alpha\"');
         insert into run_jobs (id, run_id, ordinal, job_id, task_key, name, spec, submitter, shape, deadline_at)
         select gen_random_uuid(), run_id, 1, job_id, task_key, name || '@beta', jsonb_set(spec, '{host}', '\"beta\"'),
             submitter, shape || 'beta', deadline_at from run_jobs",
    )
    .await;
    let clone = api.post(&format!("/api/v1/runs/{id}/clone"), None).await.json();
    assert_eq!(clone["run_jobs"].as_array().unwrap().len(), 1);
    let pinned = "select count(*) from run_jobs where spec ->> 'host' is not null";
    assert_eq!(api.count(pinned).await, 2, "only the origin's");
    end(&api, &id, "none").await;
    let retry = api.post(&format!("/api/v1/runs/{id}/retry"), None).await.json();
    assert_eq!(retry["run_jobs"].as_array().unwrap().len(), 2);
    assert_eq!(api.count(pinned).await, 4, "a retry stays on the hosts where it failed");
}

#[tokio::test]
async fn the_rules_of_today_hold() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&launched()).await;
    let path = format!("/api/v1/runs/{id}/clone");
    let cases = [
        (
            "update jobs set active = false where task_key = 'gpu_report'",
            "update jobs set active = true",
            "job gpu_report is switched off",
        ),
        (
            "update worker_image_allowlist set active = false",
            "update worker_image_allowlist set active = true",
            "is not on the worker image allowlist any more",
        ),
        (
            "update directives set task_list = '{service_map}' where directive_type = 'D4'",
            "update directives set task_list = '{}' where directive_type = 'D4'",
            "does not allow job gpu_report any more",
        ),
        ("update directives set active = false", "update directives set active = true", "is switched off"),
        (
            "update run_jobs set inputs = '{01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00}'",
            "update run_jobs set inputs = '{}'",
            "was removed",
        ),
    ];
    let stored = api.stored().await;
    for (spoil, mend, said) in cases {
        api.execute(spoil).await;
        let answer = api.post(&path, None).await;
        assert_eq!((answer.status, answer.problem()), (422, "invalid-request".to_owned()), "{said}");
        assert!(answer.text().contains(said), "{said}: {}", answer.text());
        assert_eq!(api.stored().await, stored, "{said}");
        api.execute(mend).await;
    }
    // A stricter directive binds repeats, too.
    api.execute("update directives set approval_required = true").await;
    assert_eq!(api.post(&path, None).await.status, 202);
    let asks = "select count(*) from runs where (directive_snapshot ->> 'approval_required')::boolean";
    assert_eq!(api.count(asks).await, 1);
}

#[tokio::test]
async fn the_same_key_repeats_once() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&launched()).await;
    let other = api.launch(&launched()).await;
    let header = [("idempotency-key", "once")];
    let path = format!("/api/v1/runs/{id}/clone");
    let first = api.post_with(&path, None, &header).await;
    let second = api.post_with(&path, None, &header).await;
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let reused = api.post_with(&format!("/api/v1/runs/{other}/clone"), None, &header).await;
    assert_eq!((reused.status, reused.problem()), (422, "idempotency-key-reused".to_owned()));
    assert_eq!(api.count("select count(*) from runs").await, 3);
}

#[tokio::test]
async fn a_text_of_its_own_is_repeated_with_it() {
    let Some(api) = Api::start().await else { return };
    let id = api.launch(&json!({ "jobs": ["gpu_report"], "custom_directive_text": "Look twice." })).await;
    let run = api.post(&format!("/api/v1/runs/{id}/clone"), None).await.json();
    assert_eq!(run["directive"], "custom");
    let texts = "select count(*) from runs where directive_snapshot ->> 'text' = 'Look twice.'";
    assert_eq!(api.count(texts).await, 2);
}
