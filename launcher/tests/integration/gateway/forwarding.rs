//! What goes through, what is changed on the way, and what is on record afterwards.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{
    stub::{Reply, Stub},
    world::{GENEROUS, Row, World, chat_answer, done, event, piece, text, usage_event},
};

fn counted(prompt: i32, completion: i32) -> Row {
    Row {
        endpoint: "first".into(),
        model_id: "default".into(),
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        estimated: false,
        success: true,
        error_class: None,
    }
}

#[tokio::test]
async fn a_chat_goes_through_and_leaves_one_row_with_the_endpoints_counts() {
    let Some(world) = World::new().await else { return };
    let usage = json!({"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46});
    let stub = Stub::always(Reply::Json(200, chat_answer("hi", &usage))).await;
    let gateway = world.gateway(&[&stub]).await;
    let (status, answer) = world.chat(&gateway).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("hi")));
    assert_eq!(world.until_rows(1).await, [counted(12, 34)]);
    assert_eq!(world.sums().await, [(12, 34); 2], "of the RunJob and of the Run");
    let seen = &stub.seen()[0];
    assert!(seen.head.starts_with("post /v1/chat/completions http/1.1"), "{}", seen.head);
    assert!(seen.head.contains("authorization: bearer endpoint-key\r\n"), "{}", seen.head);
    assert!(
        !seen.head.contains("cbw_") && !seen.head.contains("cookie"),
        "nothing of the worker's: {}",
        seen.head
    );
    assert_eq!(seen.body["model"], "real/model");
    assert_eq!(seen.body["messages"][0]["content"], "hello you");
}

#[tokio::test]
async fn a_stream_passes_piece_by_piece_and_usage_is_asked_for_and_left_out_again() {
    let Some(world) = World::new().await else { return };
    let events = vec![event("Hel"), event("lo"), usage_event(5, 2), done()];
    let stub = Stub::gated(Reply::Events(events)).await;
    let gateway = world.gateway(&[&stub]).await;
    let mut response = world.stream(&gateway).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for content in ["Hel", "lo"] {
        // Only this event is let go, so nothing waits for a later one.
        stub.gate.add_permits(1);
        assert_eq!(piece(&mut response).await.unwrap().unwrap(), event(content));
    }
    stub.gate.add_permits(2);
    assert_eq!(
        piece(&mut response).await.unwrap().unwrap(),
        done(),
        "no event that the worker did not ask for"
    );
    assert!(piece(&mut response).await.is_none());
    assert_eq!(stub.seen()[0].body["stream_options"], json!({"include_usage": true}));
    assert_eq!(world.until_rows(1).await, [counted(5, 2)]);
}

#[tokio::test]
async fn whoever_asks_for_usage_gets_its_event() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::Events(vec![event("x"), usage_event(5, 2), done()])).await;
    let gateway = world.gateway(&[&stub]).await;
    let body = json!({"model": "default", "stream": true, "stream_options": {"include_usage": true}, "messages": []});
    let response = gateway.post(&world.token, "/v1/chat/completions", &body).await.unwrap();
    assert_eq!(text(response).await.unwrap(), [event("x"), usage_event(5, 2), done()].concat());
    assert_eq!(world.until_rows(1).await, [counted(5, 2)]);
}

#[tokio::test]
async fn a_worker_that_leaves_after_the_last_event_has_had_its_answer() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::EventsThenSilence(vec![event("x"), usage_event(5, 2), done()])).await;
    let gateway = world.gateway(&[&stub]).await;
    let mut response = world.stream(&gateway).await;
    let mut all = String::new();
    while !all.contains("[DONE]") {
        all += &piece(&mut response).await.unwrap().unwrap();
    }
    drop(response);
    assert_eq!(world.until_rows(1).await, [counted(5, 2)]);
}

#[tokio::test]
async fn without_counts_of_the_endpoint_there_are_estimates_that_say_so() {
    let Some(world) = World::new().await else { return };
    let whole = Stub::always(Reply::Json(200, chat_answer("twelve chars", &Value::Null))).await;
    let streamed = Stub::always(Reply::Events(vec![event("twelve"), event(" chars"), done()])).await;
    for stub in [&whole, &streamed] {
        let gateway = world.gateway(&[stub]).await;
        let response = world.stream(&gateway).await;
        text(response).await.unwrap();
    }
    let estimate = Row { estimated: true, ..counted(3, 3) };
    assert_eq!(world.until_rows(2).await, [estimate.clone(), estimate]);
}

#[tokio::test]
async fn embeddings_completions_and_models_are_there_too() {
    let Some(world) = World::new().await else { return };
    let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
    let embedding = json!({"data": [{"embedding": [0.1, 0.2]}], "usage": usage}).to_string();
    let stub = Stub::always(Reply::Json(200, embedding.clone())).await;
    let gateway = world.gateway(&[&stub]).await;
    for path in ["/v1/embeddings", "/v1/completions"] {
        let body = json!({"model": "default", "input": "text"});
        let response = gateway.post(&world.token, path, &body).await.unwrap();
        assert!(response.headers().get("set-cookie").is_none(), "of the endpoint's head only what is needed");
        assert_eq!(text(response).await.unwrap(), embedding);
    }
    let models = gateway.send("GET", Some(&world.token), "/v1/models", "").await.unwrap();
    let models: Value = serde_json::from_str(&text(models).await.unwrap()).unwrap();
    assert_eq!(
        models["data"],
        json!([{"id": "default", "object": "model", "created": 0, "owned_by": "vllm"}])
    );
    assert_eq!(stub.seen().len(), 2, "the list of models is the configuration's");
    assert!(stub.seen()[0].head.starts_with("post /v1/embeddings "));
    assert_eq!(world.until_rows(2).await, [counted(7, 0), counted(7, 0)]);
}

#[tokio::test]
async fn the_row_of_a_call_that_ends_after_its_run_was_closed_is_in_the_runs_sum() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::gated(Reply::Events(vec![event("x"), usage_event(5, 2), done()])).await;
    let gateway = world.gateway(&[&stub]).await;
    let response = world.stream(&gateway).await;
    sqlx::query("update runs set status = 'success', finished_at = now()")
        .execute(&world.pool)
        .await
        .unwrap();
    stub.gate.add_permits(3);
    text(response).await.unwrap();
    world.until_rows(1).await;
    assert_eq!(world.sums().await, [(5, 2); 2]);
}

#[tokio::test]
async fn siblings_share_the_port_and_know_every_token_so_an_adopted_worker_keeps_its_gateway() {
    let Some(world) = World::new().await else { return };
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1});
    let stub = Stub::always(Reply::Json(200, chat_answer("hi", &usage))).await;
    let first = world.gateway(&[&stub]).await;
    let start = async |address| {
        world.gateway_at(address, &[stub.url()], GENEROUS, json!({}), world.pool.clone()).await
    };
    let second = start(first.address).await;
    for _ in 0..20 {
        assert_eq!(world.chat(&first).await.0, 200);
    }
    let address = first.address;
    first.stop().await;
    for _ in 0..5 {
        assert_eq!(world.chat(&second).await.0, 200, "one of two is gone");
    }
    second.stop().await;
    let successor = start(address).await;
    assert_eq!(world.chat(&successor).await.0, 200, "the next one takes the same port");
    world.until_rows(26).await;
}

#[tokio::test]
async fn an_answer_of_any_size_passes_without_being_gathered() {
    let Some(world) = World::new().await else { return };
    // An event that never ends by itself: the gateway can't wait for its end.
    let half = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}", "y".repeat(100_000));
    let stub =
        Stub::gated(Reply::Events(vec![half.clone(), "\"}}]}\n\n".into(), usage_event(3, 9), done()])).await;
    let gateway = world.gateway(&[&stub]).await;
    let mut response = world.stream(&gateway).await;
    stub.gate.add_permits(1);
    let mut got = 0;
    while got < half.len() {
        got += piece(&mut response).await.unwrap().unwrap().len();
    }
    stub.gate.add_permits(3);
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(rest, format!("\"}}}}]}}\n\n{}", done()));
    assert_eq!(world.until_rows(1).await, [counted(3, 9)]);
}
