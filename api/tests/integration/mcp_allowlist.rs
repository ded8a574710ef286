//! The allowlists over MCP: the same lists as over REST, set as often as one likes.

use cyberbrain_api::mcp::{Effect, TOOLS};
use serde_json::{Value, json};

use crate::mcp::{NEW, OLD, Served};

fn pin() -> String {
    format!("sha256:{}", "0f".repeat(32))
}

/// Calls as an admin; panics if it is refused.
async fn done(served: &Served, tool: &str, arguments: Value) -> Value {
    let result = served.call(&served.api.admin, tool, arguments).await;
    assert_eq!(result["isError"], false, "{tool}: {result}");
    result["structuredContent"].clone()
}

async fn audited(served: &Served) -> i64 {
    served
        .api
        .count("select count(*) from worker_audit where actor = 'key:boss' and not config_snapshot ? 'job'")
        .await
}

#[tokio::test]
async fn a_container_is_set_once_however_often_it_is_said() {
    let Some(served) = Served::start().await else { return };
    let arguments =
        json!({ "container": { "container_id": "web", "allowed": true, "host": "box", "tags": ["shop"] } });
    let set = done(&served, "set_allowlist", arguments.clone()).await;
    assert_eq!(set["image"], json!(null));
    let entry = &set["container"];
    assert_eq!(
        (&entry["host"], &entry["enabled"], &entry["tags"]),
        (&json!("box"), &json!(true), &json!(["shop"]))
    );
    assert_eq!(served.api.get("/api/v1/allowlist/containers/web").await.json(), *entry, "as over REST");
    assert_eq!(done(&served, "set_allowlist", arguments).await, set, "again: the same version");
    assert_eq!(audited(&served).await, 1);
    let off = json!({ "container": { "container_id": "web", "allowed": false } });
    let set = done(&served, "set_allowlist", off.clone()).await;
    assert_eq!((&set["container"]["enabled"], &set["container"]["host"]), (&json!(false), &json!("box")));
    assert_eq!(done(&served, "set_allowlist", off).await, set);
    assert_eq!(audited(&served).await, 2);
    let shown = done(&served, "get_allowlist", json!({ "list": "containers", "allowed": false })).await;
    assert_eq!((&shown["containers"]["containers"][0], &shown["images"]), (&set["container"], &json!(null)));
    let none = done(&served, "get_allowlist", json!({ "list": "containers", "allowed": true })).await;
    assert_eq!(none["containers"]["containers"], json!([]));
}

#[tokio::test]
async fn an_image_is_set_and_launches_follow_it() {
    let Some(served) = Served::start().await else { return };
    let job = json!({ "job": "embed", "name": "Embed", "spec": { "image": "registry.local/embed:1.4" } });
    assert_eq!(served.api.make("/api/v1/jobs", Some(&job)).await.status, 201);
    let launch = json!({ "jobs": ["embed"] });
    let image = |allowed: bool| json!({ "image": { "image": "registry.local/embed:1.4", "allowed": allowed, "pin": pin() } });
    let set = done(&served, "set_allowlist", image(true)).await;
    assert_eq!((&set["image"]["pin"], &set["container"]), (&json!(pin()), &json!(null)));
    served.done("launch_run", launch.clone()).await;
    let off = done(&served, "set_allowlist", image(false)).await;
    assert_eq!(off["image"]["active"], false);
    let refused = served.call(&served.api.operator, "launch_run", launch.clone()).await;
    assert!(refused["isError"] == true && refused.to_string().contains("allowlist"), "{refused}");
    let needs =
        json!({ "image": { "image": "registry.local/embed:1.4", "allowed": true, "min_vram_mib": 6000 } });
    let on = done(&served, "set_allowlist", needs.clone()).await;
    assert_eq!(done(&served, "set_allowlist", needs).await, on, "again: the same version");
    served.done("launch_run", launch).await;
    let asked = "select count(*) from run_jobs where spec #>> '{gpu,min_vram_mib}' = '6000'";
    assert_eq!(served.api.count(asked).await, 1);
    let path = format!("/api/v1/allowlist/images/{}", on["image"]["id"].as_str().unwrap());
    assert_eq!(served.api.get(&path).await.json(), on["image"]);
    assert_eq!(audited(&served).await, 3);
}

#[tokio::test]
async fn both_lists_are_read_in_pages() {
    let Some(served) = Served::start().await else { return };
    for id in ["a", "b", "c"] {
        done(&served, "set_allowlist", json!({ "container": { "container_id": id, "allowed": true } })).await;
    }
    let both = done(&served, "get_allowlist", json!({})).await;
    assert_eq!(both["containers"]["containers"].as_array().unwrap().len(), 3);
    assert_eq!(both["images"]["images"][0]["image"], "cyberbrain-worker:builtin");
    let first = done(&served, "get_allowlist", json!({ "list": "containers", "limit": 2 })).await;
    let cursor = &first["containers"]["next_cursor"];
    let rest = done(&served, "get_allowlist", json!({ "list": "containers", "cursor": cursor })).await;
    assert_eq!(rest["containers"]["containers"][0]["container_id"], "c");
}

#[tokio::test]
async fn a_refused_setting_says_what_to_do_and_changes_nothing() {
    let Some(served) = Served::start().await else { return };
    let before = served.api.stored().await;
    let cases = [
        ("set_allowlist", json!({}), "exactly one"),
        (
            "set_allowlist",
            json!({ "container": { "container_id": "a", "allowed": true }, "image": { "image": "a:1", "allowed": true } }),
            "exactly one",
        ),
        ("set_allowlist", json!({ "container": { "container_id": "a" } }), "allowed"),
        (
            "set_allowlist",
            json!({ "container": { "container_id": "a", "allowed": "yes" } }),
            "/container/allowed",
        ),
        (
            "set_allowlist",
            json!({ "container": { "container_id": "a", "allowed": true, "x": 1 } }),
            "unknown field",
        ),
        (
            "set_allowlist",
            json!({ "container": { "container_id": "../a", "allowed": true } }),
            "/container/container_id",
        ),
        ("set_allowlist", json!({ "container": { "container_id": "a\0", "allowed": true } }), "NUL"),
        (
            "set_allowlist",
            json!({ "container": { "container_id": "a", "allowed": true, "host": "" } }),
            "/container/host",
        ),
        ("set_allowlist", json!({ "container": { "container_id": "a", "allowed": false } }), "get_allowlist"),
        ("set_allowlist", json!({ "image": { "image": "a:1", "allowed": true } }), "/image/pin"),
        (
            "set_allowlist",
            json!({ "image": { "image": "a:1", "allowed": true, "pin": "latest" } }),
            "/image/pin",
        ),
        (
            "set_allowlist",
            json!({ "image": { "image": "a", "allowed": true, "pin": pin() } }),
            "/image/image",
        ),
        ("set_allowlist", json!({ "image": { "image": "a:1", "allowed": false } }), "get_allowlist"),
        (
            "set_allowlist",
            json!({ "image": { "image": "cyberbrain-worker:builtin", "allowed": true, "pin": pin() } }),
            "/image/pin",
        ),
        ("get_allowlist", json!({ "list": "hosts" }), "list"),
        ("get_allowlist", json!({ "limit": 501 }), "between 1 and 500"),
        ("get_allowlist", json!({ "cursor": "x" }), "say in list"),
        ("get_allowlist", json!({ "list": "images", "cursor": "x" }), "next_cursor"),
        ("list_directives", json!({ "type": "D5" }), "D1, D2, D3, D4"),
        ("list_directives", json!({ "limit": 0 }), "between 1 and 500"),
        ("get_directive", json!({ "name": "\0" }), "list_directives"),
    ];
    for (tool, arguments, told) in cases {
        let result = served.call(&served.api.admin, tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(said.contains(told), "{tool} {arguments}: {said}");
    }
    let refused = served.call(&served.api.operator, "set_allowlist", json!({})).await;
    assert!(refused.to_string().contains("needs admin"), "{refused}");
    assert_eq!(served.api.stored().await, before);
}

#[tokio::test]
async fn the_schemas_take_what_is_taken_and_the_hints_are_honest() {
    let Some(served) = Served::start().await else { return };
    let set = TOOLS.iter().find(|tool| tool.name == "set_allowlist").unwrap();
    assert_eq!(set.effect, Effect::Replaces, "it can take away what was allowed");
    for version in [NEW, OLD] {
        let listed = served.ask(version, &served.api.viewer, "tools/list", json!({})).await.result();
        let tools = listed["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == "set_allowlist").unwrap();
        let hints = &tool["annotations"];
        assert_eq!(
            (&hints["destructiveHint"], &hints["idempotentHint"], &hints["readOnlyHint"]),
            (&json!(true), &json!(true), &json!(false))
        );
        let schema = jsonschema::draft202012::new(&tool["inputSchema"]).unwrap();
        for (arguments, taken) in [
            (json!({ "container": { "container_id": "web", "allowed": true } }), true),
            (json!({ "image": { "image": "a:1", "allowed": true, "pin": pin() } }), true),
            (json!({}), false),
            (json!({ "container": { "container_id": "web" } }), false),
            (json!({ "container": null }), false),
            (json!({ "container": { "container_id": "../web", "allowed": true } }), false),
            (json!({ "image": { "image": "a:1", "allowed": true, "pin": "latest" } }), false),
            (
                json!({ "container": { "container_id": "a", "allowed": true }, "image": { "image": "a:1", "allowed": true } }),
                false,
            ),
        ] {
            assert_eq!(schema.is_valid(&arguments), taken, "{arguments}");
        }
    }
}

#[tokio::test]
async fn directives_are_those_of_the_library_as_over_rest() {
    let Some(served) = Served::start().await else { return };
    let made = json!({ "name": "Nightly", "type": "D1", "jobs": ["log_triage"], "text": "look" });
    let made = served.api.make("/api/v1/directives", Some(&made)).await.json();
    assert_eq!(served.done("get_directive", json!({ "name": "Nightly" })).await, made);
    let listed = served.done("list_directives", json!({ "type": "D1", "active": true })).await;
    assert_eq!(listed, served.api.get("/api/v1/directives?type=D1&active=true").await.json());
    assert_eq!(listed["directives"][1], made);
    let first = served.done("list_directives", json!({ "limit": 4 })).await;
    let rest = served.done("list_directives", json!({ "cursor": first["next_cursor"] })).await;
    assert_eq!((&rest["directives"][0], &rest["next_cursor"]), (&made, &json!(null)));
}
