//! The entries for MCP clients that the repository brings along: each is used as its client uses it.

use clap::{CommandFactory as _, Parser};
use cyberbrain_api::Args;
use serde_json::{Value, json};

use crate::mcp::{NEW, OLD, Served};

const URL: &str = "http://127.0.0.1:9595/mcp";

/// One server of a client's file: where it is, and what the client sends along.
struct Entry {
    url: String,
    authorization: String,
}

impl Entry {
    fn read(servers: &Value) -> Self {
        let server = &servers["cyberbrain"];
        assert_eq!(server["type"], "http", "{servers}");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{servers}")).to_owned();
        Self { url: text(&server["url"]), authorization: text(&server["headers"]["Authorization"]) }
    }

    /// Connects with this key in the place that the client fills in.
    async fn connect(&self, served: &Served, placeholder: &str, key: &str) {
        assert_eq!(self.url, URL);
        let authorization = self.authorization.replace(placeholder, key);
        assert!(!authorization.contains('$'), "{authorization}");
        let handshake = json!({
            "protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
        });
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": NEW,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        for (version, method, params) in
            [(OLD, "initialize", handshake), (NEW, "server/discover", json!({"_meta": meta}))]
        {
            let mut headers =
                vec![("Authorization", authorization.as_str()), ("MCP-Protocol-Version", version)];
            if version == NEW {
                headers.push(("Mcp-Method", method));
            }
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
            let path = self.url.strip_prefix("http://127.0.0.1:9595").unwrap();
            let answer = served.at(path, "POST", &headers, &body).await;
            assert_eq!(answer.status, 200, "{method}: {}", answer.body);
            assert!(answer.result()["capabilities"]["tools"].is_object(), "{method}: {}", answer.body);
        }
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn the_entry_for_claude_code_connects_with_the_key_of_the_environment() {
    let Some(served) = Served::start().await else { return };
    let file = json_of(include_str!("../../../.mcp.json"));
    let entry = Entry::read(&file["mcpServers"]);
    entry.connect(&served, "${CYBERBRAIN_API_KEY}", &served.api.viewer).await;
}

#[tokio::test]
async fn the_entry_for_vs_code_connects_with_the_key_that_it_asks_for() {
    let Some(served) = Served::start().await else { return };
    let file = json_of(include_str!("../../../.vscode/mcp.json"));
    let input = &file["inputs"][0];
    assert_eq!((&input["type"], &input["password"]), (&json!("promptString"), &json!(true)));
    assert!(!input["description"].as_str().unwrap().is_empty());
    let placeholder = format!("${{input:{}}}", input["id"].as_str().unwrap());
    let entry = Entry::read(&file["servers"]);
    entry.connect(&served, &placeholder, &served.api.viewer).await;
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    _args: Args,
}

#[test]
fn the_entries_name_the_address_that_the_api_has_by_default() {
    let command = Command::command();
    let bind = command.get_arguments().find(|argument| argument.get_id() == "bind").unwrap();
    let default = bind.get_default_values()[0].to_str().unwrap();
    assert_eq!(URL, format!("http://{default}/mcp"));
}
