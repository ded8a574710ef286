//! What holds for every tool: the same facts as over REST, a sentence beside them, one name for a run, and true hints.

use cyberbrain_api::{
    App, UploadStore,
    mcp::{Allowed, Effect, TOOLS},
    router,
};
use cyberbrain_common::keys::Scope;
use cyberbrain_core::lifecycle::RunJobStatus;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::mcp::{NEW, OLD, Served, harmless, listen};

/// Longest text beside structured content, in characters; a report is the text itself.
const SHORT: usize = 400;

/// An installation with one run that has ended and its report.
async fn with_report() -> Option<(Served, String, String)> {
    let served = Served::start().await?;
    let run = served.done("launch_run", json!({"jobs": ["gpu_report"]})).await;
    served.api.execute("update run_jobs set prompt_tokens = 7, completion_tokens = 5").await;
    served.api.end(run["id"].as_str().unwrap(), RunJobStatus::Success).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Some((served, text(&run["id"]), text(&run["run_jobs"][0]["id"])))
}

/// Arguments with which a tool finds something to answer.
fn fruitful(tool: &str, run: &str, run_job: &str) -> Value {
    match tool {
        "launch_run" => json!({"jobs": ["gpu_report"]}),
        "get_run" | "get_run_report" | "cancel_run" => json!({ "id": run }),
        "explain_run_job" => json!({ "id": run_job }),
        other => harmless(other),
    }
}

async fn listed(served: &Served, version: &str) -> Vec<Value> {
    let tools = served.ask(version, &served.api.viewer, "tools/list", json!({})).await.result();
    tools["tools"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_tools_give_what_rest_gives_and_nothing_else() {
    let Some((served, run, run_job)) = with_report().await else { return };
    for (tool, path) in [
        ("get_run", format!("/api/v1/runs/{run}")),
        ("list_runs", "/api/v1/runs".to_owned()),
        ("list_directives", "/api/v1/directives".to_owned()),
        ("list_gpus", "/api/v1/gpus".to_owned()),
        ("explain_run_job", format!("/api/v1/run-jobs/{run_job}/explain")),
    ] {
        let over_rest = served.api.get(&path).await.json();
        assert_eq!(served.done(tool, fruitful(tool, &run, &run_job)).await, over_rest, "{tool}");
    }

    let report = served.done("get_run_report", json!({ "id": run })).await;
    let path = format!("/api/v1/runs/{run}/report");
    let markdown = served.api.get(&path).await;
    let accept = &[("accept", "application/json")];
    let as_json =
        crate::harness::request("GET", &path, Some(&served.api.viewer), accept, axum::body::Body::empty());
    let as_json = served.api.send(as_json).await.json();
    let shown = served.api.get(&format!("/api/v1/runs/{run}")).await.json();
    let expected = json!({
        "id": run, "status": shown["status"], "tokens": shown["tokens"],
        "markdown": markdown.text(), "report": as_json,
    });
    assert_eq!(report, expected);
    assert_eq!(report["report"]["tokens"], json!({"prompt": 7, "completion": 5}), "those of the report");
    assert_eq!(report["tokens"], json!({"prompt": 7, "completion": 5, "total": 12}), "tokens are given");
    let uri = format!("cyberbrain://runs/{run}/report");
    let read = served.ask(NEW, &served.api.viewer, "resources/read", json!({ "uri": uri })).await.result();
    assert_eq!(read["contents"][0]["text"], markdown.text());
}

#[tokio::test]
async fn every_answer_is_data_of_the_schema_and_one_short_text() {
    let Some((served, run, run_job)) = with_report().await else { return };
    for version in [NEW, OLD] {
        for listed in listed(&served, version).await {
            let name = listed["name"].as_str().unwrap();
            let params = json!({"name": name, "arguments": fruitful(name, &run, &run_job)});
            let result = served.ask(version, &served.api.admin, "tools/call", params).await.result();
            let content = result["content"].as_array().unwrap_or_else(|| panic!("{name}: {result}"));
            let said = content[0]["text"].as_str().unwrap();
            assert_eq!((content.len(), &content[0]["type"]), (1, &json!("text")), "{name}: {result}");
            assert!(!said.trim().is_empty(), "{name}");
            assert!(name == "get_run_report" || said.chars().count() <= SHORT, "{name}: {said}");
            if result["isError"] == false {
                let schema = jsonschema::draft202012::new(&listed["outputSchema"]).unwrap();
                assert!(schema.is_valid(&result["structuredContent"]), "{name}: {result}");
            } else {
                assert!(result.get("structuredContent").is_none(), "{name}: {result}");
            }
        }
    }
}

#[tokio::test]
async fn an_id_names_a_run_everywhere() {
    let Some((served, run, _)) = with_report().await else { return };
    let mut of_runs = 0;
    for tool in listed(&served, NEW).await {
        let input = &tool["inputSchema"];
        let properties = input["properties"].as_object().cloned().unwrap_or_default();
        for other in ["run", "run_id", "runId", "task_id", "run_job", "run_job_id"] {
            assert!(!properties.contains_key(other), "{}: {other}", tool["name"]);
        }
        if properties.contains_key("id")
            && input["required"].as_array().is_some_and(|all| all.contains(&json!("id")))
        {
            of_runs += 1;
        }
    }
    assert!(of_runs >= 4, "get_run, get_run_report, cancel_run, explain_run_job");
    let arguments = json!({ "id": run });
    for (tool, arguments) in [
        ("launch_run", json!({"jobs": ["gpu_report"]})),
        ("get_run", arguments.clone()),
        ("get_run_report", arguments.clone()),
        ("cancel_run", arguments),
    ] {
        let answer = served.done(tool, arguments).await;
        assert!(answer["id"].is_string() && answer.get("run_id").is_none(), "{tool}: {answer}");
    }
    assert!(served.done("list_runs", json!({})).await["runs"][0]["id"].is_string());
    let wrong = served.call(&served.api.viewer, "get_run", json!({ "run_id": run })).await;
    assert_eq!(wrong["isError"], true, "there is no second name: {wrong}");
}

#[tokio::test]
async fn the_hints_of_a_tool_say_what_it_does() {
    let Some(served) = Served::start().await else { return };
    for (tool, row) in listed(&served, NEW).await.iter().zip(TOOLS) {
        let (reads, ends, again) = match row.effect {
            Effect::Reads => (true, false, true),
            Effect::Makes => (false, false, false),
            Effect::Sets => (false, false, true),
            Effect::Replaces | Effect::Ends => (false, true, true),
        };
        let expected = json!({"readOnlyHint": reads, "destructiveHint": ends, "idempotentHint": again, "openWorldHint": false});
        assert_eq!(tool["annotations"], expected, "{}", row.name);
        assert_eq!(row.scope == Scope::Viewer, reads, "{}: a viewer's key changes nothing", row.name);
    }
}

#[tokio::test]
async fn other_hosts_and_origins_are_let_in_by_name_only() {
    let Some(mut served) = Served::start().await else { return };
    let store = UploadStore::new(served.api.uploads.path().to_owned(), 1024);
    let allowed =
        Allowed { hosts: vec!["gpu.lan".to_owned()], origins: vec!["https://tools.example.org".to_owned()] };
    let app = App::new(served.api.db.pool(), CancellationToken::new(), store).allow_mcp(allowed);
    served.port = listen(router(&app)).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let bearer = format!("Bearer {}", served.api.viewer);
    for (header, value, status) in [
        ("Host", "gpu.lan", 200),
        ("Host", "gpu.lan:9595", 200),
        ("Host", "localhost:9595", 200),
        ("Host", "gpu.lan.evil.example", 403),
        ("Host", "10.0.0.7", 403),
        ("Origin", "https://tools.example.org", 200),
        ("Origin", "http://127.0.0.1:6274", 200),
        ("Origin", "http://tools.example.org", 403),
        ("Origin", "https://tools.example.org.evil.example", 403),
        ("Origin", "null", 403),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("MCP-Protocol-Version", OLD), (header, value)];
        assert_eq!(served.raw("POST", &headers, &body).await.status, status, "{header}: {value}");
    }
}
