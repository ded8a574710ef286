//! MCP over a real socket: both protocols, JSON and events, and who may do what.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_api::mcp::{Effect, TOOLS};
use cyberbrain_common::keys::Scope;
use cyberbrain_core::lifecycle::RunJobStatus;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::harness::Api;

pub const NEW: &str = "2026-07-28";
pub const OLD: &str = "2025-11-25";

/// A service on a port.
pub struct Served {
    pub api: Api,
    pub port: u16,
}

/// An answer as it came over the wire.
pub struct Wire {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Wire {
    /// The JSON-RPC messages in it, whether they came as JSON or as events.
    pub fn messages(&self) -> Vec<Value> {
        if self.headers.contains("content-type: text/event-stream") {
            let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
            return data.filter_map(|text| serde_json::from_str(text.trim()).ok()).collect();
        }
        vec![serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))]
    }

    /// The answer to the request.
    pub fn result(&self) -> Value {
        let messages = self.messages();
        let answer = messages.iter().find(|message| message.get("id").is_some());
        answer.unwrap_or_else(|| panic!("{} {}", self.status, self.body))["result"].clone()
    }
}

impl Served {
    pub async fn start() -> Option<Self> {
        let api = Api::start().await?;
        let port = listen(api.router.clone()).await;
        Some(Self { api, port })
    }

    pub async fn raw(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Wire {
        self.at("/mcp", method, headers, body).await
    }

    pub async fn at(&self, path: &str, method: &str, headers: &[(&str, &str)], body: &str) -> Wire {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let host = format!("127.0.0.1:{}", self.port);
        let mut all: BTreeMap<&str, &str> = BTreeMap::from([
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ]);
        all.extend(headers.iter().copied());
        for (name, value) in all {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        Wire {
            status: head[9..12].parse().unwrap(),
            headers: head.to_lowercase(),
            body: if chunked { unchunk(body) } else { body.to_owned() },
        }
    }

    /// One JSON-RPC request in one of the protocols.
    pub async fn ask(&self, version: &str, key: &str, method: &str, params: Value) -> Wire {
        self.ask_able(version, key, &json!({}), method, params).await
    }

    /// The same of a client with these capabilities.
    pub async fn ask_able(
        &self,
        version: &str,
        key: &str,
        able: &Value,
        method: &str,
        mut params: Value,
    ) -> Wire {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("Authorization", bearer.as_str()), ("MCP-Protocol-Version", version)];
        let name = ["name", "uri", "taskId"].iter().find_map(|field| params.get(field));
        let name = name.and_then(Value::as_str).map(str::to_owned);
        if version == NEW {
            headers.push(("Mcp-Method", method));
            if let Some(name) = &name {
                headers.push(("Mcp-Name", name));
            }
            let token = params["_meta"]["progressToken"].clone();
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": NEW,
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": able,
            });
            if !token.is_null() {
                params["_meta"]["progressToken"] = token;
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.raw("POST", &headers, &body).await
    }

    pub async fn call(&self, key: &str, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.ask(NEW, key, "tools/call", params).await.result()
    }

    /// Calls as an operator; panics if it is refused.
    pub async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(&self.api.operator, tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        result["structuredContent"].clone()
    }
}

/// The service on a port of its own, which is returned.
pub async fn listen(router: axum::Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn unchunk(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// Arguments that are read and refused or answered without a change.
pub fn harmless(tool: &str) -> Value {
    let nobody = json!({"id": "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00"});
    match tool {
        "launch_run" => json!({"jobs": ["no_such_job"]}),
        "get_directive" => json!({"name": "D1"}),
        "list_runs" | "list_directives" | "get_allowlist" | "list_gpus" => json!({}),
        "set_allowlist" => json!({"container": {"container_id": "nobody", "allowed": false}}),
        "get_run" | "get_run_report" | "cancel_run" | "explain_run_job" => nobody,
        "approve_run" => json!({"id": nobody["id"], "decision": "denied"}),
        other => panic!("say what is harmless for {other}"),
    }
}

#[tokio::test]
async fn both_protocols_list_the_tools_of_the_table_with_whole_schemas() {
    let Some(served) = Served::start().await else { return };
    for version in [NEW, OLD] {
        let answer = served.ask(version, &served.api.viewer, "tools/list", json!({})).await;
        assert_eq!(answer.status, 200, "{version}: {}", answer.body);
        assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
        let tools = answer.result()["tools"].as_array().unwrap().clone();
        let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>(), "{version}");
        for (tool, row) in tools.iter().zip(TOOLS) {
            for schema in ["inputSchema", "outputSchema"] {
                assert_eq!(tool[schema]["type"], "object", "{schema} of {tool}");
                let compiled = jsonschema::draft202012::new(&tool[schema]);
                compiled.unwrap_or_else(|error| panic!("{schema} of {}: {error}", row.name));
            }
            assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{}", row.name);
            let hints = &tool["annotations"];
            assert_eq!(hints["readOnlyHint"], row.effect == Effect::Reads, "{}", row.name);
            assert_eq!(
                hints["destructiveHint"],
                matches!(row.effect, Effect::Replaces | Effect::Ends),
                "{}",
                row.name
            );
        }
    }
}

#[tokio::test]
async fn each_tool_is_for_its_scope_and_every_result_is_of_its_schema() {
    let Some(served) = Served::start().await else { return };
    let before = served.api.stored().await;
    let listed = served.ask(NEW, &served.api.viewer, "tools/list", json!({})).await.result();
    let api = &served.api;
    let holders =
        [(Scope::Viewer, &api.viewer), (Scope::Operator, &api.operator), (Scope::Admin, &api.admin)];
    for (tool, listed) in TOOLS.iter().zip(listed["tools"].as_array().unwrap()) {
        let schema = jsonschema::draft202012::new(&listed["outputSchema"]).unwrap();
        for (scope, key) in holders {
            let result = served.call(key, tool.name, harmless(tool.name)).await;
            let said = result["content"][0]["text"].as_str().unwrap();
            let refused = said.contains("ask an admin for another key");
            assert_eq!(refused, !scope.covers(tool.scope), "{} as {scope}: {said}", tool.name);
            if result["isError"] == false {
                let content = &result["structuredContent"];
                assert!(schema.is_valid(content), "{}: {content}", tool.name);
            }
        }
    }
    assert_eq!(api.stored().await, before, "nothing of it changed anything");
}

#[tokio::test]
async fn nobody_gets_in_without_a_key_or_from_another_place() {
    let Some(served) = Served::start().await else { return };
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let bearer = format!("Bearer {}", served.api.admin);
    let key = ("Authorization", bearer.as_str());
    let version = ("MCP-Protocol-Version", OLD);
    let none = served.raw("POST", &[version], &body).await;
    assert_eq!(none.status, 401);
    assert!(none.headers.contains("www-authenticate: bearer"), "{}", none.headers);
    assert_eq!(served.raw("POST", &[version, ("Authorization", "Bearer cb_x_y")], &body).await.status, 401);
    assert_eq!(served.raw("POST", &[version, key, ("Host", "evil.example")], &body).await.status, 403);
    assert_eq!(
        served.raw("POST", &[version, key, ("Origin", "https://evil.example")], &body).await.status,
        403
    );
    assert_eq!(
        served.raw("POST", &[version, key, ("Origin", "http://localhost:6274")], &body).await.status,
        200
    );
    let broken = served.raw("POST", &[version, key], "{").await.status;
    assert!((400..500).contains(&broken), "no JSON is the client's mistake: {broken}");
    assert_eq!(
        served.raw("GET", &[version, key], "").await.status,
        405,
        "there are no sessions to listen to"
    );
}

#[tokio::test]
async fn a_launch_is_the_same_launch_as_over_rest() {
    let Some(served) = Served::start().await else { return };
    let arguments = json!({"jobs": ["gpu_report"], "tags": ["mcp"], "idempotency_key": "k1"});
    let run = served.done("launch_run", arguments.clone()).await;
    assert_eq!(served.done("launch_run", arguments).await["id"], run["id"], "the same key, the same run");
    let id = run["id"].as_str().unwrap();
    let over_rest = served.api.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(served.done("get_run", json!({"id": id})).await, over_rest);
    let listed = served.done("list_runs", json!({"tag": "mcp"})).await;
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1);
    assert_eq!(served.api.count("select count(*) from runs where requested_by = 'operator'").await, 1);
    let job = over_rest["run_jobs"][0]["id"].clone();
    assert_eq!(served.done("explain_run_job", json!({"id": job})).await["run_job"]["run_id"], json!(id));
    served.done("cancel_run", json!({"id": id})).await;
    assert_eq!(served.api.count("select count(*) from runs where cancel_requested_at is not null").await, 1);
}

#[tokio::test]
async fn what_is_refused_says_what_to_do_and_stores_nothing() {
    let Some(served) = Served::start().await else { return };
    let run = served.done("launch_run", json!({"jobs": ["gpu_report"]})).await;
    let before = served.api.stored().await;
    let cases = [
        ("launch_run", json!({"jobs": ["nonsense"]}), "nonsense"),
        ("launch_run", json!({"directive": "D2", "jobs": ["log_triage"]}), "log_triage"),
        ("launch_run", json!({"jobs": ["gpu_report"], "shell": "rm"}), "unknown field"),
        ("launch_run", json!({"jobs": ["gpu_report"], "wait_seconds": 601}), "between 0 and 600"),
        ("launch_run", json!({"jobs": ["gpu_report"], "wait_seconds": "long"}), "wait_seconds"),
        ("launch_run", json!({"jobs": ["gpu_report"], "idempotency_key": ""}), "idempotency_key"),
        ("get_run", json!({"id": "7"}), "/id"),
        ("get_run", json!({}), "id"),
        ("get_run", json!({"id": "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00"}), "there is no run"),
        ("get_run_report", json!({"id": run["id"]}), "ask again later"),
        ("list_runs", json!({"limit": 0}), "between 1 and 500"),
        ("list_runs", json!({"cursor": "x"}), "next_cursor"),
        ("get_directive", json!({"name": "D9"}), "list_directives"),
        ("list_gpus", json!({"verbose": true}), "unknown field"),
    ];
    for (tool, arguments, told) in cases {
        let result = served.call(&served.api.operator, tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(said.contains(told), "{tool} {arguments}: {said}");
        assert!(result.get("structuredContent").is_none(), "{result}");
    }
    assert_eq!(served.api.stored().await, before);
    let unknown =
        served.ask(NEW, &served.api.viewer, "tools/call", json!({"name": "rm", "arguments": {}})).await;
    assert!(
        unknown.messages()[0]["error"]["message"].as_str().unwrap().contains("launch_run"),
        "{}",
        unknown.body
    );
}

#[tokio::test]
async fn waiting_tells_progress_as_events_and_ends_with_the_run() {
    let Some(served) = Served::start().await else { return };
    for version in [NEW, OLD] {
        let params = json!({
            "name": "launch_run",
            "arguments": {"jobs": ["gpu_report"], "wait_seconds": 2},
            "_meta": {"progressToken": "p"},
        });
        let answer = served.ask(version, &served.api.operator, "tools/call", params).await;
        assert!(answer.headers.contains("content-type: text/event-stream"), "{version}: {}", answer.headers);
        let messages = answer.messages();
        let progress: Vec<&Value> =
            messages.iter().filter(|message| message["method"] == "notifications/progress").collect();
        assert!(!progress.is_empty(), "{version}: {}", answer.body);
        assert_eq!(progress[0]["params"]["progressToken"], "p");
        assert_eq!(
            (progress[0]["params"]["progress"].as_f64(), progress[0]["params"]["total"].as_f64()),
            (Some(0.0), Some(1.0))
        );
        // Nobody works here, so the time is up before the run's end.
        assert_eq!(answer.result()["structuredContent"]["status"], "pending", "{version}");
    }
}

#[tokio::test]
async fn runs_reports_and_directives_are_resources() {
    let Some(served) = Served::start().await else { return };
    let run = served.done("launch_run", json!({"jobs": ["gpu_report"]})).await;
    let uri = format!("cyberbrain://runs/{}", run["id"].as_str().unwrap());
    let key = &served.api.viewer;
    let list = served.ask(NEW, key, "resources/list", json!({})).await.result();
    let uris: Vec<&str> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["uri"].as_str().unwrap())
        .collect();
    assert!(
        uris.contains(&uri.as_str()) && uris.iter().any(|uri| uri.starts_with("cyberbrain://directives/")),
        "{uris:?}"
    );
    for uri in &uris {
        let read = served.ask(NEW, key, "resources/read", json!({"uri": uri})).await.result();
        let text = read["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{uri}: {read}"));
        serde_json::from_str::<Value>(text).unwrap();
    }
    let templates = served.ask(NEW, key, "resources/templates/list", json!({})).await.result();
    assert_eq!(templates["resourceTemplates"].as_array().unwrap().len(), 3);
    for missing in [format!("{uri}/report"), "cyberbrain://runs/7".into(), "file:///etc/passwd".into()] {
        let answer = served.ask(NEW, key, "resources/read", json!({"uri": missing})).await;
        assert!(answer.messages()[0]["error"]["message"].is_string(), "{missing}: {}", answer.body);
    }
    served.api.end(run["id"].as_str().unwrap(), RunJobStatus::Success).await;
    let report =
        served.ask(NEW, key, "resources/read", json!({"uri": format!("{uri}/report")})).await.result();
    let text = &report["contents"][0]["text"];
    assert!(text.as_str().unwrap().starts_with("# GPU report: succeeded\n"), "{text}");
    let over_tool = served.done("get_run_report", json!({"id": run["id"]})).await;
    assert_eq!((&over_tool["markdown"], &over_tool["tokens"]["total"]), (text, &json!(0)));
}

#[tokio::test]
async fn each_built_in_job_has_a_prompt() {
    let Some(served) = Served::start().await else { return };
    let key = &served.api.viewer;
    let prompts = served.ask(OLD, key, "prompts/list", json!({})).await.result();
    let names: Vec<&str> = prompts["prompts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|prompt| prompt["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["log_triage", "gpu_report", "service_map"]);
    for name in names {
        let params = json!({"name": name, "arguments": {"focus": "db-1"}});
        let prompt = served.ask(OLD, key, "prompts/get", params).await.result();
        let text = prompt["messages"][0]["content"]["text"].as_str().unwrap();
        assert!(text.contains("launch_run") && text.contains(name) && text.contains("db-1"), "{text}");
    }
    let wrong =
        served.ask(OLD, key, "prompts/get", json!({"name": "log_triage", "arguments": {"x": "y"}})).await;
    assert!(wrong.messages()[0]["error"]["message"].as_str().unwrap().contains("focus"), "{}", wrong.body);
}

#[test]
fn the_manual_names_every_tool() {
    let manual = include_str!("../../../docs/API.md");
    for tool in TOOLS {
        let row = format!("| `{}` | {} |", tool.name, tool.scope);
        assert!(manual.contains(&row), "{row}");
    }
}
