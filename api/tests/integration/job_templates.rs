//! Job templates: made, launched, edited, deleted or switched off; and names that no two of them share.

use serde_json::{Value, json};

use crate::harness::{Answer, Api};

fn embed() -> Value {
    json!({
        "job": "embed_docs", "aliases": ["embed"], "name": "Embed documents", "description": "vectors",
        "spec": {
            "image": "registry.local:5000/embed:1.4", "command": ["run", "--all"], "env": { "TOKEN": "hush", "LEVEL": "2" },
            "resources": { "memory_mib": 2048 }, "gpu": { "policy": "require", "min_vram_mib": 8000 },
            "output": { "vectors": { "kind": "integer", "least": 0 }, "verdict": { "kind": "name", "one_of": ["good", "bad"] } },
            "timeouts": { "run_seconds": 60 }, "retry": { "max_attempts": 3 }, "network": "none",
        },
    })
}

async fn make(api: &Api) -> Answer {
    let answer = api.make("/api/v1/jobs", Some(&embed())).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer
}

async fn edit(api: &Api, name: &str, version: &str, change: Value) -> Answer {
    let path = format!("/api/v1/jobs/{name}");
    api.change("PATCH", &path, &api.admin, Some(version), Some(&change)).await
}

async fn delete(api: &Api, name: &str, version: &str) -> Answer {
    api.change("DELETE", &format!("/api/v1/jobs/{name}"), &api.admin, Some(version), None).await
}

/// As an admin would by hand.
async fn allow_image(api: &Api) {
    api.execute(
        "insert into worker_image_allowlist (id, name, tag, pin)
         values (gen_random_uuid(), 'registry.local:5000/embed', '1.4', 'sha256:1')",
    )
    .await;
}

#[tokio::test]
async fn a_job_is_stored_before_its_image_is_allowed_and_launched_after() {
    let Some(api) = Api::start().await else { return };
    let made = make(&api).await;
    assert_eq!(made.headers["location"], "/api/v1/jobs/embed_docs");
    let job = made.json();
    assert_eq!(made.headers["etag"], format!("\"{}\"", job["version"]));
    let spec = &job["spec"];
    assert_eq!(
        (&spec["image"], &spec["env"]),
        (&json!("registry.local:5000/embed:1.4"), &json!(["LEVEL", "TOKEN"]))
    );
    assert_eq!(
        (
            &spec["resources"]["memory_mib"],
            &spec["resources"]["cpu_millis"],
            &spec["timeouts"]["queue_seconds"]
        ),
        (&json!(2048), &json!(500), &json!(86_400)),
        "what is not said is the default"
    );
    assert_eq!(spec["output"], embed()["spec"]["output"]);
    assert_eq!((&spec["gpu"]["policy"], &spec["gpu"]["count"]), (&json!("require"), &json!(1)));
    for name in ["embed_docs", "embed"] {
        let shown = api.get(&format!("/api/v1/jobs/{name}")).await;
        assert_eq!(shown.json(), job, "{name}");
        assert!(!shown.text().contains("hush"), "values of environment variables stay inside");
    }
    let launch = json!({ "jobs": ["embed"] });
    let refused = api.post("/api/v1/runs", Some(&launch)).await;
    assert_eq!((refused.status, refused.places()), (422, vec!["body /jobs/0".to_owned()]));
    assert!(refused.text().contains("allowlist"), "{}", refused.text());
    allow_image(&api).await;
    api.launch(&launch).await;
    let declared =
        "select count(*) from run_jobs where spec #>> '{output,verdict,one_of}' = '[\"good\", \"bad\"]'";
    assert_eq!(api.count(declared).await, 1, "launchers hold the result against it");
    let frozen =
        "select count(*) from run_jobs where task_key = 'embed_docs' and spec #>> '{env,TOKEN}' = 'hush'
        and spec ->> 'command' = '[\"run\", \"--all\"]' and spec #>> '{gpu,min_vram_mib}' = '8000'";
    assert_eq!(api.count(frozen).await, 1);
}

#[tokio::test]
async fn an_edit_changes_what_it_says_and_no_run_job_that_was_launched() {
    let Some(api) = Api::start().await else { return };
    allow_image(&api).await;
    let first = make(&api).await.headers["etag"].clone();
    api.launch(&json!({ "jobs": ["embed"] })).await;
    let change = json!({
        "aliases": ["embed_all"], "description": "",
        "spec": { "env": { "TOKEN": null, "MORE": "x" }, "resources": { "cpu_millis": 4000 }, "gpu": {} },
    });
    let answer = edit(&api, "embed", &first, change).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let job = answer.json();
    assert_eq!((&job["aliases"], &job["name"]), (&json!(["embed_all"]), &json!("Embed documents")));
    let spec = &job["spec"];
    assert_eq!(spec["env"], json!(["LEVEL", "MORE"]), "those that are not named stay");
    assert_eq!(
        (&spec["resources"]["cpu_millis"], &spec["resources"]["memory_mib"], &spec["gpu"]["policy"]),
        (&json!(4000), &json!(2048), &json!("none"))
    );
    let kept = "select count(*) from run_jobs where spec #>> '{env,TOKEN}' = 'hush' and spec #>> '{gpu,policy}' = 'require'";
    assert_eq!(api.count(kept).await, 1);
    assert_eq!(api.get("/api/v1/jobs/embed").await.problem(), "not-found", "the alias is free");
    let tag = answer.headers["etag"].clone();
    let same = edit(&api, "embed_all", &tag, json!({ "description": "" })).await;
    assert_eq!((same.status, &same.headers["etag"]), (200, &tag), "nothing changed, no version");
    let stale = edit(&api, "embed_all", &first, json!({ "description": "x" })).await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "precondition-failed"));
    let path = "/api/v1/jobs/embed_docs";
    let none = api.change("PATCH", path, &api.admin, None, Some(&json!({}))).await;
    assert_eq!((none.status, none.problem().as_str()), (428, "precondition-required"));
    assert_eq!(api.get(path).await.json(), job);
    let told = "select count(*) from worker_audit where actor = 'key:boss' and config_snapshot ->> 'job' = 'embed_docs'
        and operation = 'change'";
    assert_eq!(api.count(told).await, 2, "made and edited once");
    let secret = "select count(*) from worker_audit where config_snapshot::text like '%hush%'";
    assert_eq!(api.count(secret).await, 0);
}

#[tokio::test]
async fn of_two_edits_of_a_job_at_once_exactly_one_wins() {
    let Some(api) = Api::start().await else { return };
    let mut tag = make(&api).await.headers["etag"].clone();
    for round in 0..8 {
        let (a, b) = tokio::join!(
            edit(&api, "embed", &tag, json!({ "name": format!("a {round}") })),
            edit(&api, "embed", &tag, json!({ "name": format!("b {round}") })),
        );
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}");
        tag = if a.status == 200 { a.headers["etag"].clone() } else { b.headers["etag"].clone() };
    }
}

#[tokio::test]
async fn keys_and_aliases_are_those_of_one_job() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    let other = |job: &str, aliases: &[&str]| json!({ "job": job, "aliases": aliases, "name": "x", "spec": { "image": "a:1" } });
    let before = api.stored().await;
    for (job, aliases) in [
        ("embed_docs", &[][..]),
        ("embed", &[]),
        ("task1", &[]),
        ("other", &["embed_docs"]),
        ("other", &["fine", "embed"]),
        ("other", &["gpu_report"]),
    ] {
        let answer = api.make("/api/v1/jobs", Some(&other(job, aliases))).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "conflict"), "{job} {aliases:?}");
        assert!(answer.text().contains("take other names"), "{}", answer.text());
    }
    let taken = edit(&api, "embed", "*", json!({ "aliases": ["embed", "task2"] })).await;
    assert_eq!(taken.problem(), "conflict");
    assert_eq!(api.stored().await, before);
    // Two that want one name at once.
    let (x, y) = (other("x", &["both"]), other("y", &["both"]));
    let (a, b) = tokio::join!(api.make("/api/v1/jobs", Some(&x)), api.make("/api/v1/jobs", Some(&y)));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(api.count("select count(*) from job_names where name = 'both'").await, 1);
}

#[tokio::test]
async fn what_nothing_refers_to_is_deleted_and_everything_else_is_switched_off() {
    let Some(api) = Api::start().await else { return };
    allow_image(&api).await;
    let first = make(&api).await.headers["etag"].clone();
    assert_eq!(delete(&api, "embed", "\"1\"").await.problem(), "precondition-failed");
    let gone = delete(&api, "embed", &first).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(delete(&api, "embed", &first).await.problem(), "not-found");
    assert_eq!(api.count("select count(*) from job_names where name like 'embed%'").await, 0);

    let second = make(&api).await.headers["etag"].clone();
    assert_ne!(first, second);
    assert_eq!(delete(&api, "embed", &first).await.problem(), "precondition-failed", "it is another one");
    api.launch(&json!({ "jobs": ["embed"] })).await;
    let off = delete(&api, "embed", &second).await;
    assert_eq!((off.status, &off.json()["active"]), (200, &json!(false)), "a run job was made of it");
    let again = delete(&api, "embed", &off.headers["etag"]).await;
    assert_eq!(again.headers["etag"], off.headers["etag"], "it was off: nothing changed");
    let refused = api.post("/api/v1/runs", Some(&json!({ "jobs": ["embed"] }))).await;
    assert!(refused.text().contains("switched off"), "{}", refused.text());
    let on = edit(&api, "embed", &off.headers["etag"], json!({ "active": true })).await;
    assert_eq!(on.status, 200);
    api.launch(&json!({ "jobs": ["embed"] })).await;

    let listed = json!({ "job": "listed", "name": "x", "spec": { "image": "a:1" } });
    api.make("/api/v1/jobs", Some(&listed)).await;
    api.make("/api/v1/directives", Some(&json!({ "name": "n", "jobs": ["listed"] }))).await;
    assert_eq!(delete(&api, "listed", "*").await.status, 200, "a directive lists it");
    api.change("PATCH", "/api/v1/directives/n", &api.admin, Some("*"), Some(&json!({ "jobs": [] }))).await;
    assert_eq!(delete(&api, "listed", "*").await.status, 204);
    let off = json!(["embed_docs"]);
    edit(&api, "embed", "*", json!({ "active": false })).await;
    let names = |page: Value| -> Value {
        page["jobs"].as_array().unwrap().iter().map(|job| job["job"].clone()).collect()
    };
    assert_eq!(names(api.get("/api/v1/jobs?active=false").await.json()), off);
    assert_eq!(names(api.get("/api/v1/jobs?active=true&limit=1").await.json()), json!(["log_triage"]));
}

#[tokio::test]
async fn a_launch_and_a_deletion_at_once_never_leave_a_run_job_without_its_job() {
    let Some(api) = Api::start().await else { return };
    allow_image(&api).await;
    for round in 0..8 {
        let tag = make(&api).await.headers["etag"].clone();
        let body = json!({ "jobs": ["embed_docs"] });
        let (launched, deleted) =
            tokio::join!(api.post("/api/v1/runs", Some(&body)), delete(&api, "embed_docs", &tag));
        assert!(
            matches!((launched.status, deleted.status), (202, 200) | (422, 204)),
            "round {round}: {} and {}",
            launched.text(),
            deleted.text()
        );
        if deleted.status == 200 {
            api.execute(
                "update jobs set task_key = 'old' || replace(id::text, '-', '_'), aliases = '{}'
                 where task_key = 'embed_docs'",
            )
            .await;
        }
    }
}

#[tokio::test]
async fn built_in_jobs_keep_their_worker() {
    let Some(api) = Api::start().await else { return };
    let refused = delete(&api, "task1", "\"1\"").await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"));
    let wrong =
        json!({ "spec": { "image": "a:1", "command": [], "output": {}, "timeouts": { "run_seconds": 9 } } });
    let answer = edit(&api, "task1", "\"1\"", wrong).await;
    assert_eq!(answer.places(), ["body /spec/image", "body /spec/command", "body /spec/output"]);
    let answer = edit(&api, "task1", "\"1\"", json!({ "spec": { "timeouts": { "run_seconds": 9 } } })).await;
    assert_eq!((answer.status, &answer.json()["spec"]["timeouts"]["run_seconds"]), (200, &json!(9)));
}

#[tokio::test]
async fn a_wrong_job_says_where_and_stores_nothing() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({ "job": "Bad", "name": "", "spec": {} }), &["body /job", "body /name", "body /spec/image"]),
        (json!({ "job": "x".repeat(51) }), &["body /job"]),
        (
            json!({ "aliases": ["n", "a", "a", "\0"] }),
            &["body /aliases/0", "body /aliases/2", "body /aliases/3"],
        ),
        (json!({ "description": "\0" }), &["body /description"]),
        (json!({ "spec": { "image": "latest" } }), &["body /spec/image"]),
        (json!({ "spec": { "image": "a@sha256:0" } }), &["body /spec/image"]),
        (json!({ "spec": { "image": "a:1", "command": ["ok", "\0"] } }), &["body /spec/command/1"]),
        (json!({ "spec": { "image": "a:1", "command": vec!["x"; 65] } }), &["body /spec/command"]),
        (
            json!({ "spec": { "image": "a:1", "env": { "1A": "x", "B": "\0" } } }),
            &["body /spec/env", "body /spec/env/B"],
        ),
        (
            json!({ "spec": { "image": "a:1", "resources": { "cpu_millis": 0, "memory_mib": 15 } } }),
            &["body /spec/resources/cpu_millis", "body /spec/resources/memory_mib"],
        ),
        (json!({ "spec": { "image": "a:1", "gpu": { "count": 65 } } }), &["body /spec/gpu/count"]),
        (json!({ "spec": { "image": "a:1", "gpu": { "host": "box" } } }), &["body /spec/gpu/host"]),
        (
            json!({ "spec": { "image": "a:1", "timeouts": { "stop_grace_seconds": 280 } } }),
            &["body /spec/timeouts/host_lost_seconds"],
        ),
        (
            json!({ "spec": { "image": "a:1", "retry": { "max_attempts": 0 } } }),
            &["body /spec/retry/max_attempts"],
        ),
        (
            json!({ "spec": { "image": "a:1", "output": { "A": { "kind": "bool" } } } }),
            &["body /spec/output"],
        ),
        (
            json!({ "spec": { "image": "a:1", "output": { "a": { "kind": "integer", "least": 2, "most": 1 } } } }),
            &["body /spec/output/a/least"],
        ),
        (
            json!({ "spec": { "image": "a:1", "output": { "a": { "kind": "name", "one_of": ["ok", "some prose"] } } } }),
            &["body /spec/output/a/one_of/1"],
        ),
        (
            json!({ "spec": { "image": "a:1", "output": { "a": { "kind": "name", "one_of": [] } } } }),
            &["body /spec/output/a/one_of"],
        ),
        (
            json!({ "spec": { "image": "a:1", "output": { "a": { "kind": "text" } } } }),
            &["body /spec/output/a/kind"],
        ),
        (
            json!({ "spec": { "image": "a:1", "env": { "T": "x" }, "secrets": [
                { "name": "../shadow" }, { "name": "a", "path_variable": "1T" }, { "name": "a", "path_variable": "T" },
                { "name": "b/c" } ] } }),
            &[
                "body /spec/secrets/0/name",
                "body /spec/secrets/1/path_variable",
                "body /spec/secrets/2/name",
                "body /spec/secrets/3/name",
                "body /spec/secrets/2/path_variable",
            ],
        ),
        (
            json!({ "spec": { "image": "a:1", "secrets": [{ "name": "a", "value": "x" }] } }),
            &["body /spec/secrets/0/value"],
        ),
        (
            json!({ "spec": { "image": "a:1", "caches": [{ "name": ".", "target": "/logs/x" }, { "name": "m", "target": "/m/../etc" }] } }),
            &["body /spec/caches/0/name", "body /spec/caches/0/target", "body /spec/caches/1/target"],
        ),
        (json!({ "spec": { "image": "a:1", "pull": "sometimes" } }), &["body /spec/pull"]),
        (json!({ "scope": "per_host", "spec": { "image": "a:1", "host": "box" } }), &["body /spec/host"]),
        (json!({ "spec": { "image": "a:1", "network": "host" } }), &["body /spec/network"]),
        (json!({ "spec": { "image": "a:1", "privileged": true } }), &["body /spec/privileged"]),
        (json!({ "spec": ["a:1"] }), &["body /spec"]),
    ];
    for (wrong, places) in cases {
        let mut body = json!({ "job": "n", "name": "n", "spec": { "image": "a:1" } });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let answer = api.make("/api/v1/jobs", Some(&body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"), "{wrong}");
        assert_eq!(answer.places(), places, "{wrong}: {}", answer.text());
    }
    assert_eq!(api.stored().await, before);
    assert_eq!(api.count("select count(*) from jobs").await, 3);
}

#[tokio::test]
async fn a_job_names_secrets_caches_and_its_pull_policy_and_a_run_job_keeps_them() {
    let Some(api) = Api::start().await else { return };
    allow_image(&api).await;
    let body = json!({ "job": "grants", "name": "g", "spec": {
        "image": "registry.local:5000/embed:1.4", "secrets": [{ "name": "hf-token", "path_variable": "HF_TOKEN_FILE" }],
        "caches": [{ "name": "llama", "target": "/models" }], "pull": "always" } });
    let made = api.make("/api/v1/jobs", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let shown = &made.json()["spec"];
    for key in ["secrets", "caches", "pull"] {
        assert_eq!(shown[key], body["spec"][key], "{key}");
    }
    api.launch(&json!({ "jobs": ["grants"] })).await;
    let kept = "select count(*) from run_jobs where spec->'secrets'->0->>'name' = 'hf-token'
        and spec->'caches'->0->>'target' = '/models' and spec->>'pull' = 'always'";
    assert_eq!(api.count(kept).await, 1);
    let change = json!({ "spec": { "secrets": [], "pull": "missing" } });
    let edited = edit(&api, "grants", &made.headers["etag"], change).await.json();
    assert_eq!((&edited["spec"]["secrets"], &edited["spec"]["pull"]), (&json!([]), &json!("missing")));
    assert_eq!(edited["spec"]["caches"][0]["name"], "llama", "what is not named stays");
}
