//! Who may call, and how much.

use cyberbrain_common::worker_token;
use cyberbrain_launcher::gateway::Budget;
use serde_json::{Value, json};

use super::{
    stub::{Reply, Stub},
    world::{Running, World, chat_answer, event, piece, text},
};

async fn refusal(
    gateway: &Running,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let response = gateway.send(method, token, path, body.to_owned()).await.unwrap();
    let status = response.status().as_u16();
    let answer: Value = serde_json::from_str(&text(response).await.unwrap()).unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().len() > 20, "a sentence: {answer}");
    (status, answer["error"]["code"].as_str().unwrap().to_owned())
}

fn good() -> Reply {
    Reply::Json(200, chat_answer("hi", &json!({"prompt_tokens": 40, "completion_tokens": 60})))
}

const CHAT: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"default","messages":[]}"#;

#[tokio::test]
async fn only_tokens_of_this_installation_are_good() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(good()).await;
    let gateway = world.gateway(&[&stub]).await;
    let foreign = worker_token::sign(b"another installation's secret", world.attempt);
    let long = format!("{}{}", world.token, "x".repeat(1_000));
    for token in [None, Some(""), Some("sk-123"), Some(foreign.as_str()), Some(long.as_str())] {
        for (method, path) in [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/")] {
            let seen = refusal(&gateway, token, method, path, BODY).await;
            assert_eq!(seen, (401, "invalid_token".into()), "{token:?} {path}");
        }
    }
    assert!(stub.seen().is_empty());
    assert!(world.rows().await.is_empty());
}

#[tokio::test]
async fn a_token_is_good_while_its_attempt_is_open() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::EventsThenSilence(vec![event("x")])).await;
    let gateway = world.gateway(&[&stub]).await;
    let mut response = world.stream(&gateway).await;
    piece(&mut response).await.unwrap().unwrap();
    world.end_attempt().await;
    // Seen by looking: whose launcher it is does not matter.
    assert!(text(response).await.is_err(), "an open call ends with its attempt");
    let seen = refusal(&gateway, Some(&world.token), "POST", CHAT, BODY).await;
    assert_eq!(seen, (401, "attempt_ended".into()));
    let rows = world.until_rows(1).await;
    assert_eq!(rows[0].error_class.as_deref(), Some("attempt_ended"));
}

#[tokio::test]
async fn a_spent_budget_is_refused_with_the_reason_also_by_the_next_gateway() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(good()).await;
    let budget = Budget { tokens: Some(150), calls: 4 };
    let gateway = world.gateway_with(&[&stub], budget, json!({})).await;
    // The second call begins below the limit and goes over it.
    for _ in 0..2 {
        assert_eq!(world.chat(&gateway).await.0, 200);
    }
    let (status, answer) = world.chat(&gateway).await;
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("token_budget_spent")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("200 of its 150 tokens"), "{message}");
    world.until_rows(2).await;
    let other = world.gateway_with(&[&stub], budget, json!({})).await;
    assert_eq!(world.chat(&other).await.0, 429, "what is on record counts");
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_with_the_reason_until_one_ends() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::gated(Reply::Events(vec![event("x")])).await;
    let budget = Budget { tokens: None, calls: 2 };
    let gateway = world.gateway_with(&[&stub], budget, json!({})).await;
    let first = world.stream(&gateway).await;
    let second = world.stream(&gateway).await;
    let body = json!({"model": "default", "messages": []});
    let response = gateway.post(&world.token, CHAT, &body).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert!(text(response).await.unwrap().contains("too_many_calls"));
    stub.gate.add_permits(2);
    for response in [first, second] {
        text(response).await.unwrap();
    }
    world.until_rows(2).await;
    stub.gate.add_permits(1);
    assert_eq!(world.stream(&gateway).await.status(), 200);
}

#[tokio::test]
async fn what_the_gateway_does_not_take_is_said() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(good()).await;
    let gateway = world.gateway(&[&stub]).await;
    let token = Some(world.token.as_str());
    let table = [
        ("GET", CHAT, BODY, 405, "method_not_allowed"),
        ("POST", "/v1/models", BODY, 405, "method_not_allowed"),
        ("POST", "/v1/files", BODY, 404, "not_found"),
        ("POST", CHAT, "{", 400, "invalid_request"),
        ("POST", CHAT, r#"{"messages":[]}"#, 400, "invalid_request"),
        ("POST", CHAT, r#"{"model":"gpt-9","messages":[]}"#, 404, "model_not_found"),
        ("POST", CHAT, r#"{"model":"real/model"}"#, 404, "model_not_found"),
    ];
    for (method, path, body, status, code) in table {
        assert_eq!(
            refusal(&gateway, token, method, path, body).await,
            (status, code.to_owned()),
            "{path} {body}"
        );
    }
    let huge = format!(r#"{{"model":"default","prompt":"{}"}}"#, "x".repeat(17 * 1024 * 1024));
    // The connection may close before all of it was sent.
    if let Ok(response) = gateway.send("POST", token, CHAT, huge).await {
        assert_eq!(response.status(), 413);
    }
    assert!(stub.seen().is_empty());
    assert_eq!(world.chat(&gateway).await.0, 200, "and it goes on");
    world.until_rows(1).await;
}
