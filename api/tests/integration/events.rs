//! Live events: each once, in order, whatever happens to connections, transactions and processes.

use std::time::Duration;

use axum::body::Body;
use cyberbrain_api::{App, UploadStore, router};
use cyberbrain_common::keys;
use cyberbrain_core::audit::Actor;
use cyberbrain_testkit::seeded_rng;
use rand::Rng as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    following::{Following, PATIENCE},
    harness::{Answer, Api, MAX_UPLOAD_BYTES, pool, request},
    machines,
};

const EVENTS: &str = "/api/v1/events";

/// Writes rows by this actor, numbered so that each can be told from the others.
async fn write(connection: &mut PgConnection, actor: &str, numbers: std::ops::Range<i32>) {
    sqlx::query(
        "insert into worker_audit (id, operation, actor, error)
         select gen_random_uuid(), 'error', $1, n::text from generate_series($2, $3 - 1) n",
    )
    .bind(actor)
    .bind(numbers.start)
    .bind(numbers.end)
    .execute(connection)
    .await
    .unwrap();
}

/// Numbers of the events by this actor, in the order in which they came.
fn numbers(events: &[(String, String)], actor: &str) -> Vec<i32> {
    let events = events.iter().map(|(_, data)| serde_json::from_str::<Value>(data).unwrap());
    let ours = events.filter(|event| event["actor"] == actor);
    ours.map(|event| event["error"].as_str().unwrap().parse().unwrap()).collect()
}

/// Refused, or ended by the service.
async fn to_end(api: &Api, path: &str, last_event: &str) -> Answer {
    let asked = request("GET", path, Some(&api.viewer), &[("last-event-id", last_event)], Body::empty());
    tokio::time::timeout(PATIENCE, api.send(asked)).await.expect("it is refused")
}

/// One connection's share: transactions of all lengths, of which some come to nothing. Gives the numbers that were committed.
async fn writer(mut connection: PgConnection, worker: i32, random: u64) -> Vec<i32> {
    let mut random = seeded_rng(&format!("writer {worker} {random}"));
    let mut committed = Vec::new();
    for n in 0..130 {
        let number = worker * 1_000 + n;
        let mut tx = connection.begin().await.unwrap();
        write(&mut tx, "one-of-many", number..number + 1).await;
        // Long ones are overtaken by many others between their first row and their end.
        if random.random_range(0..10) == 0 {
            let pause = random.random_range(0.01..0.15);
            sqlx::query("select pg_sleep($1)").bind(pause).execute(&mut *tx).await.unwrap();
        }
        if random.random_range(0..8) == 0 {
            tx.rollback().await.unwrap();
        } else {
            tx.commit().await.unwrap();
            committed.push(number);
        }
    }
    committed
}

#[tokio::test]
async fn each_event_comes_exactly_once_over_ten_reconnects_while_a_thousand_transactions_commit() {
    let Some(api) = Api::start().await else { return };
    let mut following = Following::open(&api, EVENTS, None).await;
    following.until("event: ready").await;
    let mut last = following.events("ready").remove(0).0;
    let writers: Vec<_> = {
        let mut writers = Vec::new();
        for worker in 0..10 {
            writers.push(tokio::spawn(writer(api.db.connect().await, worker, 0)));
        }
        writers
    };
    let mut seen = Vec::new();
    // Ten connections that are cut: of what was on its way only sixty events arrive.
    for _ in 0..10 {
        while following.events("audit").len() < 60 {
            assert!(following.more().await, "the service ended it");
        }
        let mut arrived = following.events("audit");
        arrived.truncate(60);
        last = arrived.last().map_or(last, |(id, _)| id.clone());
        seen.extend(arrived);
        drop(following);
        following = Following::open(&api, EVENTS, Some(&last)).await;
    }
    let mut expected = Vec::new();
    for writer in writers {
        expected.extend(writer.await.unwrap());
    }
    let mut mark = api.db.connect().await;
    write(&mut mark, "the-end", 0..1).await;
    following.until("the-end").await;
    seen.extend(following.events("audit"));
    let came = numbers(&seen, "one-of-many");
    let mut sorted = came.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert!(expected.len() > 1_000, "{} commits", expected.len());
    assert_eq!(sorted, expected, "each exactly once");
    // Ids only grow, so that whoever keeps the greatest has seen all before it.
    let places: Vec<u64> =
        seen.iter().map(|(id, _)| id.split_once('-').unwrap().0.parse().unwrap()).collect();
    assert!(places.is_sorted());
}

#[tokio::test]
async fn an_event_waits_for_the_transactions_that_began_before_its_own() {
    let Some(api) = Api::start().await else { return };
    let mut following = Following::open(&api, EVENTS, None).await;
    following.until("event: ready").await;
    let (mut long, mut short) = (api.db.connect().await, api.db.connect().await);
    let mut tx = long.begin().await.unwrap();
    write(&mut tx, "test", 1..2).await;
    write(&mut short, "test", 2..3).await;
    let probe = sqlx::query_scalar::<_, i64>(
        "select count(*) from worker_audit
         where actor = 'test' and tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    );
    assert_eq!(probe.fetch_one(&mut short).await.unwrap(), 0, "it is committed and could be overtaken");
    tx.commit().await.unwrap();
    following.until("\"error\":\"2\"").await;
    assert_eq!(numbers(&following.events("audit"), "test"), [1, 2]);
}

#[tokio::test]
async fn a_slow_client_misses_nothing_and_holds_nobody_up() {
    const ROWS: i32 = 33_000;
    let Some(api) = Api::start().await else { return };
    let mut slow = Following::open(&api, EVENTS, None).await;
    slow.until("event: ready").await;
    let mut quick = Following::open(&api, EVENTS, None).await;
    quick.until("event: ready").await;
    // More than the feed keeps for anybody: 64 batches of 500.
    let mut connection = api.db.connect().await;
    write(&mut connection, "flood", 0..ROWS).await;
    write(&mut connection, "the-end", 0..1).await;
    while !quick.seen.contains("the-end") {
        quick.seen.clear();
        assert!(quick.more().await);
    }
    slow.until("the-end").await;
    let mut came = numbers(&slow.events("audit"), "flood");
    came.sort_unstable();
    assert_eq!(came, (0..ROWS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_goes_on_at_another_api_where_it_was() {
    let Some(mut api) = Api::start().await else { return };
    let mut following = Following::open(&api, EVENTS, None).await;
    following.until("event: ready").await;
    let ready = following.events("ready").remove(0).0;
    let mut connection = api.db.connect().await;
    write(&mut connection, "test", 1..2).await;
    following.until("\"error\":\"1\"").await;
    let last = following.events("audit").pop().unwrap().0;
    api.stopping.cancel();
    following.ends().await;
    write(&mut connection, "test", 2..3).await;
    api.stopping = CancellationToken::new();
    let store = UploadStore::new(api.uploads.path().to_owned(), MAX_UPLOAD_BYTES);
    api.router = router(&App::new(pool(&api.db.url), api.stopping.clone(), store));
    write(&mut connection, "test", 3..4).await;
    for (from, expected) in [(&last, vec![2, 3]), (&ready, vec![1, 2, 3])] {
        let mut following = Following::open(&api, EVENTS, Some(from)).await;
        following.until("\"error\":\"3\"").await;
        assert_eq!(numbers(&following.events("audit"), "test"), expected);
    }
}

#[tokio::test]
async fn a_run_shows_its_own_events_from_the_beginning_and_a_run_job_its_own() {
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report", "log_triage"] })).await;
    let other = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let shown = api.get(&format!("/api/v1/runs/{run}")).await.json();
    let job = shown["run_jobs"][0]["id"].as_str().unwrap().to_owned();
    let mut of_run = Following::open(&api, &format!("/api/v1/runs/{run}/events"), None).await;
    let mut of_job = Following::open(&api, &format!("/api/v1/run-jobs/{job}/events"), None).await;
    of_run.until("\"submit\"").await;
    machines::run_one(&api, &job).await;
    api.post(&format!("/api/v1/runs/{other}/cancel"), None).await;
    api.post(&format!("/api/v1/runs/{run}/cancel"), None).await;
    of_job.until("\"cancel\"").await;
    let steps = |following: &Following| -> Vec<(Value, Value, Value)> {
        let events = following.events("audit").into_iter();
        let events = events.map(|(_, data)| serde_json::from_str::<Value>(&data).unwrap());
        events
            .map(|event| (event["run_id"].clone(), event["run_job_id"].clone(), event["operation"].clone()))
            .collect()
    };
    let told = steps(&of_job);
    assert!(told.iter().all(|(in_run, of, _)| in_run == &json!(run) && of == &json!(job)), "{told:?}");
    let operations: Vec<&str> = told.iter().map(|(_, _, operation)| operation.as_str().unwrap()).collect();
    assert_eq!(operations[..2], ["submit", "assign"], "{operations:?}");
    while steps(&of_run).iter().filter(|(_, _, operation)| operation == "cancel").count() < 3 {
        assert!(of_run.more().await);
    }
    let told = steps(&of_run);
    assert!(told.iter().all(|(in_run, _, _)| in_run == &json!(run)), "{told:?}");
    assert_eq!(
        told.iter().filter(|(_, _, operation)| operation == "submit").count(),
        3,
        "the run and both run jobs"
    );
    for path in ["runs", "run-jobs"] {
        let unknown = api.get(&format!("/api/v1/{path}/{}/events", Uuid::now_v7())).await;
        assert_eq!(unknown.problem(), "not-found");
    }
}

#[tokio::test]
async fn what_is_in_an_event_is_what_the_document_says() {
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let mut following = Following::open(&api, &format!("/api/v1/runs/{run}/events"), None).await;
    following.until("\"submit\"").await;
    let document: Value = serde_json::from_str(&cyberbrain_api::openapi::JSON).unwrap();
    let mut schema = document["components"]["schemas"]["EventView"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (_, data) in following.events("audit") {
        let event: Value = serde_json::from_str(&data).unwrap();
        assert!(validator.is_valid(&event), "{event}");
    }
}

#[tokio::test]
async fn a_place_that_is_not_kept_is_gone_and_nonsense_is_refused() {
    let Some(api) = Api::start().await else { return };
    let mut connection = api.db.connect().await;
    let mut following = Following::open(&api, EVENTS, None).await;
    following.until("event: ready").await;
    write(&mut connection, "test", 1..2).await;
    following.until("\"error\":\"1\"").await;
    let last = following.events("audit").pop().unwrap().0;
    drop(Following::open(&api, EVENTS, Some(&last)).await);
    drop(Following::open(&api, EVENTS, Some("")).await);
    // As if its partition had been dropped.
    sqlx::raw_sql(
        "create table kept as select * from worker_audit; drop table worker_audit cascade;
         create table worker_audit as select * from kept where actor <> 'test'",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let elsewhere = format!("9000000000000-{}", Uuid::now_v7());
    for gone in [last, elsewhere] {
        let answer = to_end(&api, EVENTS, &gone).await;
        assert_eq!((answer.status, answer.problem().as_str()), (410, "cursor-gone"), "{gone}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("leave Last-Event-ID out"));
    }
    for bad in ["x", "7", "7-", "-7", "1.1.0"] {
        let answer = to_end(&api, EVENTS, bad).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-header"), "{bad}");
        assert_eq!(answer.places(), ["header /Last-Event-ID"]);
    }
}

#[tokio::test]
async fn streams_are_counted_and_end_when_the_process_does() {
    let Some(api) = Api::start().await else { return };
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(Following::open(&api, EVENTS, None).await);
    }
    let refused = api.get(EVENTS).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "too-many-streams"));
    assert!(refused.headers.contains_key("retry-after"));
    open.truncate(2);
    open.push(Following::open(&api, EVENTS, None).await);
    api.stopping.cancel();
    for following in &mut open {
        following.ends().await;
    }
}

#[tokio::test]
async fn a_comment_comes_every_fifteen_seconds_and_a_revoked_key_ends_the_stream() {
    let Some(api) = Api::start().await else { return };
    let mut following = Following::open(&api, EVENTS, None).await;
    let begun = tokio::time::Instant::now();
    following.until(": still here").await;
    assert!(begun.elapsed() > Duration::from_secs(14));
    let mut connection = api.db.connect().await;
    keys::revoke(&mut connection, &"viewer".parse().unwrap(), &Actor::System("test")).await.unwrap();
    following.until("\"change\":\"revoked\"").await;
    following.ends().await;
    assert!(begun.elapsed() < Duration::from_secs(45));
}
