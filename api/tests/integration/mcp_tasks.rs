//! Tasks over a real socket: a task is a run, and any api answers for it.

use cyberbrain_api::{App, UploadStore, router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::mcp::{NEW, OLD, Served, listen};

const MISSING_CAPABILITY: i64 = -32_021;
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;

fn able() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

impl Served {
    async fn task(&self, method: &str, key: &str, id: &Value) -> Value {
        let answer = self.ask_able(NEW, key, &able(), method, json!({"taskId": id})).await;
        answer.messages().pop().unwrap()
    }

    async fn launch(&self, able: &Value, arguments: Value) -> Value {
        let params = json!({"name": "launch_run", "arguments": arguments});
        self.ask_able(NEW, &self.api.operator, able, "tools/call", params).await.result()
    }
}

/// Another api over the same database, with connections and memory of its own.
async fn another(served: &Served) -> u16 {
    let store = UploadStore::new(served.api.uploads.path().to_owned(), 1024);
    listen(router(&App::new(served.api.db.pool(), CancellationToken::new(), store))).await
}

#[tokio::test]
async fn a_launch_on_one_api_is_a_task_that_another_answers_for_until_its_end() {
    let Some(mut served) = Served::start().await else { return };
    let created = served.launch(&able(), json!({"jobs": ["gpu_report"], "wait_seconds": 600})).await;
    assert_eq!(
        (&created["resultType"], &created["status"]),
        (&json!("task"), &json!("working")),
        "{created}"
    );
    assert!(created["pollIntervalMs"].is_number() && created["ttlMs"].is_null(), "{created}");
    let id = created["taskId"].clone();
    let path = format!("/api/v1/runs/{}", id.as_str().unwrap());
    assert_eq!(served.api.get(&path).await.json()["id"], id, "its id is the run's");

    served.port = another(&served).await;
    let key = served.api.viewer.clone();
    let working = served.task("tasks/get", &key, &id).await["result"].clone();
    assert_eq!((&working["taskId"], &working["status"]), (&id, &json!("working")));
    assert_eq!((working.get("result"), working.get("error")), (None, None), "{working}");

    served.api.execute("update runs set status = 'success', finished_at = now()").await;
    let ended = served.task("tasks/get", &key, &id).await["result"].clone();
    assert_eq!(ended["status"], "completed", "{ended}");
    let over_rest = served.api.get(&path).await.json();
    assert_eq!(ended["result"]["structuredContent"], over_rest, "the result is the run as REST shows it");
    assert_eq!(ended["result"]["isError"], false);
    assert_eq!(ended["createdAt"], created["createdAt"]);
    assert!(ended["lastUpdatedAt"].as_str() > ended["createdAt"].as_str(), "{ended}");
}

#[tokio::test]
async fn each_status_of_a_run_is_one_of_a_task() {
    let Some(served) = Served::start().await else { return };
    let id = served.launch(&able(), json!({"jobs": ["gpu_report"]})).await["taskId"].clone();
    for (run, task) in [
        ("pending", "working"),
        ("running", "working"),
        ("success", "completed"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
    ] {
        let ended = matches!(task, "completed" | "failed" | "cancelled");
        sqlx::query("update runs set status = $1, finished_at = case when $2 then now() end")
            .bind(run)
            .bind(ended)
            .execute(&mut served.api.db.connect().await)
            .await
            .unwrap();
        let seen = served.task("tasks/get", &served.api.viewer, &id).await["result"].clone();
        assert_eq!(seen["status"], task, "{run}: {seen}");
        assert_eq!(seen.get("result").is_some(), task == "completed", "{run}: {seen}");
        assert_eq!(seen.get("error").is_some(), task == "failed", "{run}: {seen}");
        assert!(!seen["statusMessage"].as_str().unwrap().is_empty(), "{run}: {seen}");
        if task == "failed" {
            assert_eq!(
                (&seen["error"]["data"]["id"], &seen["error"]["data"]["status"]),
                (&id, &json!("failed"))
            );
        }
    }
}

#[tokio::test]
async fn a_task_is_cancelled_as_its_run_is_and_by_whoever_may() {
    let Some(served) = Served::start().await else { return };
    let id = served.launch(&able(), json!({"jobs": ["gpu_report"]})).await["taskId"].clone();
    let refused = served.task("tasks/cancel", &served.api.viewer, &id).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("needs operator"), "{refused}");
    let asked = "select count(*) from runs where cancel_requested_at is not null";
    assert_eq!(served.api.count(asked).await, 0);
    let noted = served.task("tasks/cancel", &served.api.operator, &id).await;
    assert_eq!(noted["result"]["resultType"], "complete", "{noted}");
    assert_eq!(served.api.count(asked).await, 1);
    assert_eq!(
        served
            .api
            .count("select count(*) from worker_audit where operation = 'cancel' and actor = 'key:operator'")
            .await,
        2,
        "of the run and of its run job"
    );
    assert!(
        served.task("tasks/cancel", &served.api.operator, &id).await["error"].is_null(),
        "once more is no error"
    );
}

#[tokio::test]
async fn nobody_gets_a_task_without_having_said_that_it_understands_tasks() {
    let Some(served) = Served::start().await else { return };
    let run = served.launch(&json!({}), json!({"jobs": ["gpu_report"]})).await;
    assert_eq!((&run["structuredContent"]["status"], run.get("taskId")), (&json!("pending"), None), "{run}");
    let at_once = served.launch(&able(), json!({"jobs": ["gpu_report"], "wait_seconds": 0})).await;
    assert!(
        at_once["structuredContent"]["id"].is_string(),
        "who does not want to wait gets the run: {at_once}"
    );
    let refused = served.launch(&able(), json!({"jobs": ["nonsense"]})).await;
    assert_eq!(refused["isError"], true, "what is refused is no task: {refused}");

    let id = run["structuredContent"]["id"].clone();
    let key = &served.api.operator;
    let without = served.ask(NEW, key, "tasks/get", json!({"taskId": id})).await.messages().pop().unwrap();
    assert_eq!(without["error"]["code"], MISSING_CAPABILITY, "{without}");
    for unknown in [json!("7"), json!("01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00")] {
        for method in ["tasks/get", "tasks/cancel"] {
            assert_eq!(
                served.task(method, key, &unknown).await["error"]["code"],
                INVALID_PARAMS,
                "{method} {unknown}"
            );
        }
    }
    // The extension has neither: a result comes with tasks/get, and list_runs lists.
    for method in ["tasks/list", "tasks/result"] {
        assert_eq!(served.task(method, key, &id).await["error"]["code"], METHOD_NOT_FOUND, "{method}");
    }
}

#[tokio::test]
async fn tasks_are_announced_to_those_who_can_use_them() {
    let Some(served) = Served::start().await else { return };
    let key = &served.api.viewer;
    let new = served.ask(NEW, key, "server/discover", json!({})).await.result();
    assert!(new["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(), "{new}");
    let hello = json!({
        "protocolVersion": OLD, "capabilities": able(), "clientInfo": {"name": "test", "version": "1"},
    });
    let old = served.ask(OLD, key, "initialize", hello).await.result();
    assert_eq!(old["protocolVersion"], OLD);
    assert!(old["capabilities"]["tools"].is_object(), "{old}");
    assert_eq!(
        (old["capabilities"].get("extensions"), old["capabilities"].get("tasks")),
        (None, None),
        "{old}"
    );
    let params =
        json!({"name": "launch_run", "arguments": {"jobs": ["gpu_report"]}, "task": {"ttl": 60_000}});
    let launched = served.ask_able(OLD, &served.api.operator, &able(), "tools/call", params).await.result();
    assert_eq!(launched["structuredContent"]["status"], "pending", "answered with the run: {launched}");
}
