//! The official MCP client against a whole installation: its own process, its own language, both protocols.

use std::{path::Path, time::Duration};

use cyberbrain_common::ready;
use cyberbrain_testkit::{Need, environment, got, require, wait_for};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::support::{Installation, binary};

/// A bit more than the client gives itself.
const LIMIT: Duration = Duration::from_secs(260);

/// A key of this scope, made as a person makes it.
async fn key(installation: &Installation, scope: &str) -> String {
    let database = installation.ready["database_url"].as_str().unwrap();
    let output = Command::new(binary())
        .args(["key", "create", "--local", "--name", scope, "--scope", scope])
        .env("DATABASE_URL", database)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let key = said.split_whitespace().find(|word| word.starts_with("cb_"));
    key.unwrap_or_else(|| panic!("no key in {said}")).to_owned()
}

/// One more api over the same database, and its address; it ends with what is returned.
async fn another_api(installation: &Installation, home: &Path) -> (Child, String) {
    let ready = home.join("other.ready");
    let child = Command::new(binary())
        .args(["api", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(home.join("other"))
        .arg("--ready-file")
        .arg(&ready)
        .env("DATABASE_URL", installation.ready["database_url"].as_str().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let announced =
        wait_for("another api", Duration::from_secs(60), async || ready::read(&ready).unwrap()).await;
    (child, announced.url.unwrap())
}

#[tokio::test]
async fn the_official_client_does_what_the_manual_says_in_both_protocols() {
    if !require(Need::Postgres) || !require(Need::McpClient) {
        return;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/tests/python");
    let python = tokio::task::spawn_blocking({
        let requirements = scripts.join("requirements.txt");
        move || environment(&requirements, Path::new(env!("CARGO_TARGET_TMPDIR")))
    });
    let Some(python) = got(Need::McpClient, python.await.unwrap()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let installation = Installation::up(dir.path(), &["--runtime", "process"]).await;
    let url = format!("{}/mcp", installation.ready["api"].as_str().unwrap());
    let (_another, other_url) = another_api(&installation, dir.path()).await;
    let client = Command::new(python)
        .arg(scripts.join("mcp_client.py"))
        .args([url, format!("{other_url}/mcp")])
        .env("CYBERBRAIN_OPERATOR", key(&installation, "operator").await)
        .env("CYBERBRAIN_VIEWER", key(&installation, "viewer").await)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, client).await.expect("the client ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}\n{}", String::from_utf8_lossy(&output.stderr)));
    let failed = told["failed"].as_object().unwrap();
    let failed: Vec<String> =
        failed.iter().map(|(check, why)| format!("{check}:\n{}", why.as_str().unwrap())).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let made: Vec<&str> =
        told["made"].as_array().unwrap().iter().map(|check| check.as_str().unwrap()).collect();
    for version in ["2026-07-28", "2025-11-25"] {
        let of_version = made.iter().filter(|check| check.starts_with(version)).count();
        assert_eq!(of_version, 9, "{made:?}");
    }
}
