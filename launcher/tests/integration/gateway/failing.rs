//! Endpoints that fail, workers that go away, and a database that does not answer.

use std::time::Duration;

use cyberbrain_testkit::{
    chaos::{Mode, Proxy},
    wait_until,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    stub::{Reply, Stub},
    world::{GENEROUS, PATIENCE, World, chat_answer, event, piece, text, usage_event},
};

fn good() -> Reply {
    Reply::Json(200, chat_answer("hi", &json!({"prompt_tokens": 1, "completion_tokens": 2})))
}

#[tokio::test]
async fn an_endpoint_that_fails_before_its_answer_hands_over_to_the_next() {
    let Some(world) = World::new().await else { return };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let busy = Stub::always(Reply::Json(503, "{}".into())).await;
    let spare = Stub::always(good()).await;
    let urls = [format!("http://{closed}/v1"), busy.url(), spare.url()];
    let address = "127.0.0.1:0".parse().unwrap();
    let gateway = world.gateway_at(address, &urls, GENEROUS, json!({}), world.pool.clone()).await;
    for _ in 0..2 {
        assert_eq!(world.chat(&gateway).await.0, 200);
    }
    let rows = world.until_rows(2).await;
    assert!(rows.iter().all(|row| row.endpoint == "third" && row.success), "one row per call: {rows:?}");
    assert_eq!(busy.seen().len(), 1, "who failed a moment ago is tried last");
}

#[tokio::test]
async fn when_no_endpoint_answers_the_worker_is_told_which_failed_how() {
    let Some(world) = World::new().await else { return };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = Stub::always(Reply::Silence).await;
    let urls = [format!("http://{closed}/v1"), silent.url()];
    let address = "127.0.0.1:0".parse().unwrap();
    let limits = json!({"answer_timeout_seconds": 1});
    let gateway = world.gateway_at(address, &urls, GENEROUS, limits, world.pool.clone()).await;
    let (status, answer) = world.chat(&gateway).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("no_endpoint_answered")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("first: unreachable, second: answer_timeout"), "{message}");
    let rows = world.until_rows(1).await;
    assert_eq!(
        (rows[0].endpoint.as_str(), rows[0].error_class.as_deref()),
        ("second", Some("answer_timeout"))
    );
    assert_eq!((rows[0].total_tokens, rows[0].estimated), (0, false), "no answer, no tokens, no guess");
}

#[tokio::test]
async fn what_an_endpoint_says_against_the_request_is_passed_on() {
    let Some(world) = World::new().await else { return };
    let refusing = Stub::always(Reply::Json(400, r#"{"error":{"message":"too long"}}"#.into())).await;
    let spare = Stub::always(good()).await;
    let gateway = world.gateway(&[&refusing, &spare]).await;
    let (status, answer) = world.chat(&gateway).await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("too long")));
    assert!(spare.seen().is_empty(), "another endpoint would say the same");
    let rows = world.until_rows(1).await;
    assert_eq!((rows[0].success, rows[0].error_class.as_deref()), (false, Some("rejected")));
}

#[tokio::test]
async fn an_answer_that_stands_still_ends_with_a_broken_connection_and_a_row() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::EventsThenSilence(vec![event("eight ch")])).await;
    let gateway = world.gateway_with(&[&stub], GENEROUS, json!({"idle_timeout_seconds": 1})).await;
    let response = world.stream(&gateway).await;
    assert!(text(response).await.is_err(), "not taken for the whole answer");
    let rows = world.until_rows(1).await;
    assert_eq!(rows[0].error_class.as_deref(), Some("idle_timeout"));
    assert_eq!((rows[0].completion_tokens, rows[0].estimated), (2, true), "what came is estimated");
    let _ = stub.abandoned.acquire().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::EventsThenBreak(vec![event("x"), usage_event(5, 2)])).await;
    let gateway = world.gateway(&[&stub]).await;
    let response = world.stream(&gateway).await;
    assert!(text(response).await.is_err());
    let rows = world.until_rows(1).await;
    assert_eq!(rows[0].error_class.as_deref(), Some("broken"));
    assert_eq!((rows[0].total_tokens, rows[0].estimated), (7, false), "what the endpoint has said counts");
}

#[tokio::test]
async fn a_worker_that_goes_away_takes_its_call_with_it() {
    let Some(world) = World::new().await else { return };
    for reply in [Reply::EventsThenSilence(vec![event("x")]), Reply::Silence] {
        let stub = Stub::always(reply.clone()).await;
        let gateway = world.gateway(&[&stub]).await;
        let body = json!({"model": "default", "stream": true, "messages": []});
        if matches!(reply, Reply::Silence) {
            let waiting = gateway.post(&world.token, "/v1/chat/completions", &body);
            tokio::select! {
                _ = waiting => panic!("nothing answers"),
                () = wait_until("the request to arrive", PATIENCE, async || stub.seen().len() == 1) => {}
            }
        } else {
            let mut response = gateway.post(&world.token, "/v1/chat/completions", &body).await.unwrap();
            piece(&mut response).await.unwrap().unwrap();
        }
        let abandoned = tokio::time::timeout(PATIENCE, stub.abandoned.acquire()).await;
        abandoned.expect("the endpoint sees it, too").unwrap().forget();
    }
    let rows = world.until_rows(2).await;
    assert!(rows.iter().all(|row| row.error_class.as_deref() == Some("worker_gone")), "{rows:?}");
}

#[tokio::test]
async fn a_database_that_is_away_stops_no_known_worker_and_loses_no_row() {
    let Some(world) = World::new().await else { return };
    let proxy = Proxy::start(world.db.address().await).await.unwrap();
    let options =
        sqlx::postgres::PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(2));
    let pool = options.connect(&world.db.url_through(proxy.address())).await.unwrap();
    let stub = Stub::always(good()).await;
    let address = "127.0.0.1:0".parse().unwrap();
    let gateway = world.gateway_at(address, &[stub.url()], GENEROUS, json!({}), pool).await;
    assert_eq!(world.chat(&gateway).await.0, 200);
    world.until_rows(1).await;
    proxy.set(Mode::Cut).await;
    for _ in 0..3 {
        assert_eq!(world.chat(&gateway).await.0, 200, "it was open when it was last seen");
    }
    let stranger =
        cyberbrain_common::worker_token::sign(&world.instance.secret, cyberbrain_common::ids::fresh());
    let body = json!({"model": "default", "messages": []});
    let response = gateway.post(&stranger, "/v1/chat/completions", &body).await.unwrap();
    assert_eq!(response.status(), 503);
    let answer: Value = serde_json::from_str(&text(response).await.unwrap()).unwrap();
    assert_eq!(answer["error"]["code"], "database_unavailable");
    proxy.set(Mode::Pass).await;
    world.until_rows(4).await;
    assert_eq!(world.sums().await, [(4, 8); 2], "each once");
}

#[tokio::test]
async fn what_is_open_when_the_launcher_ends_leaves_its_row() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(Reply::EventsThenSilence(vec![event("x")])).await;
    let gateway = world.gateway(&[&stub]).await;
    let mut response = world.stream(&gateway).await;
    piece(&mut response).await.unwrap().unwrap();
    gateway.stop().await;
    assert_eq!(world.rows().await.len(), 1, "written when the gateway has ended");
    assert!(text(response).await.is_err());
}
