//! Nothing stops a queue: not a payload, not a handler, not the database.

use std::{future::pending, num::NonZeroUsize, time::Duration};

use cyberbrain_common::{
    db,
    queue::{Consumer, RunTask},
};

use cyberbrain_testkit::{
    chaos::{Mode, Proxy},
    wait_until,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Database, Running, SOON, Taken, admit, admits};

const ULID: &str = "01J0000000000000000000000";

fn seven() -> NonZeroUsize {
    NonZeroUsize::new(7).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undecodable_payload_is_set_aside_and_the_next_tasks_run() {
    let Some(database) = Database::new().await else { return };
    let payloads: [&[u8]; 4] = [
        b"\x00\xff\xfe",
        b"",
        br#"{"v":2,"task":{"admit":"01920000-0000-7000-8000-000000000001"}}"#,
        br#"{"v":1,"task":{"launch":"x"}}"#,
    ];
    for (number, payload) in payloads.into_iter().enumerate() {
        database.insert_raw(&format!("{ULID}{number}"), payload).await;
    }
    database.push(&admits(3)).await;
    let taken = Taken::new();
    let running = Running::start(database.runs(), taken.handler());

    wait_until("the good ones are done", SOON, async || database.count("Done").await == 3).await;
    wait_until("the bad ones are set aside", SOON, async || database.count("Killed").await == 4).await;
    assert_eq!(taken.len(), 3);
    // It is the same worker still, and the reason is to be read in the row.
    assert_eq!(workers(&database).await, 1);
    let reason: String = sqlx::query_scalar(
        "select last_result->>'Err' from apalis.jobs where job = '' and status = 'Killed'",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert!(reason.contains("not a task of this queue: EOF"), "{reason}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_apalis_cannot_read_is_set_aside_and_the_next_tasks_run() {
    let Some(database) = Database::new().await else { return };
    database.insert_raw("no ulid", b"{}").await;
    database
        .execute(
            "insert into apalis.jobs (id, job_type, job, run_at, metadata) values
             ('01J00000000000000000000001', 'runs', '', to_timestamp(0), 'trace => NULL'),
             ('01J00000000000000000000002', 'runs', '', to_timestamp(-1), null)",
        )
        .await;
    database.push(&admits(3)).await;
    let taken = Taken::new();
    let running = Running::start(database.runs(), taken.handler());
    wait_until("the good ones are done", SOON, async || database.count("Done").await == 3).await;
    assert_eq!(database.count("Killed").await, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_panic_or_never_end_do_not_stop_the_queue() {
    let Some(database) = Database::new().await else { return };
    let taken = Taken::new();
    let noting = taken.handler();
    let consumer = database.runs().with_concurrency(seven()).with_handler_timeout(Duration::from_millis(300));
    let running = Running::start(consumer, move |task| {
        let noted = match task {
            RunTask::Close(_) => None,
            RunTask::Admit(_) => Some(noting(task)),
        };
        async move {
            match (noted, task) {
                (Some(noted), _) => noted.await,
                (None, task) if is_even(task) => panic!("on purpose"),
                (None, _) => pending().await,
            }
        }
    });
    // More of each than handlers at once.
    let bad: Vec<RunTask> = admits(20).into_iter().map(|task| RunTask::Close(run(task))).collect();
    database.push(&bad).await;
    database.push(&admits(50)).await;

    wait_until("the good ones are done", SOON, async || database.count("Done").await == 50).await;
    wait_until("the bad ones failed", SOON, async || database.count("Failed").await == 20).await;
    assert_eq!(taken.len(), 50);
    assert_eq!(workers(&database).await, 1);
    let reasons: Vec<String> = sqlx::query_scalar(
        "select distinct last_result->>'Err' from apalis.jobs where status = 'Failed' order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(reasons, ["the handler panicked: on purpose", "the handler ran longer than 300ms"]);
    running.stop().await;
}

// One thread: the recorder is the thread's own.
#[tokio::test]
async fn the_consumer_survives_a_restart_of_postgresql() {
    let Some(mut database) = Database::restartable().await else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let taken = Taken::new();
    let slow = taken.clone();
    let running = Running::start(database.runs(), move |task| {
        let taken = slow.clone();
        async move {
            // Long enough to be running when the server ends.
            tokio::time::sleep(Duration::from_millis(300)).await;
            taken.note(task);
        }
    });
    database.push(&[admit(1)]).await;
    taken.reaches(1).await;

    database.push(&admits(30)).await;
    taken.reaches(8).await;
    for round in 0..2 {
        let before = restarts(&metrics);
        database.server().halt().await;
        wait_until("the consumer finds it gone", SOON, async || restarts(&metrics) > before).await;
        database.server().resume().await;
        let after = admit(1_000 + round);
        let back = std::time::Instant::now();
        wait_until("a push works again", SOON, async || {
            let Ok(mut tx) = database.pool.begin().await else { return false };
            cyberbrain_common::queue::push(&mut tx, &[after]).await.is_ok() && tx.commit().await.is_ok()
        })
        .await;
        wait_until("what was pushed after the restart is taken", SOON, async || taken.all().contains(&after))
            .await;
        println!("restart {round}: taking tasks again {:?} after the server answered", back.elapsed());
    }
    wait_until("nothing is left behind", SOON, async || {
        database.count("Pending").await + database.count("Queued").await + database.count("Running").await
            == 0
    })
    .await;
    let all = taken.all();
    assert!(admits(30).iter().all(|task| all.contains(task)), "a task was lost");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shutdown_running_handlers_finish_and_the_rest_is_given_back() {
    let Some(database) = Database::new().await else { return };
    let taken = Taken::new();
    let (started, finished) = (taken.clone(), Taken::new());
    let ending = finished.clone();
    let running = Running::start(database.runs().with_concurrency(seven()), move |task| {
        let (started, ending) = (started.clone(), ending.clone());
        async move {
            started.note(task);
            tokio::time::sleep(Duration::from_millis(500)).await;
            ending.note(task);
        }
    });
    database.push(&admits(250)).await;
    taken.reaches(7).await;
    let stopping = std::time::Instant::now();
    running.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());

    let (started, finished) = (taken.len(), finished.len());
    assert_eq!(started, finished, "a handler was cut off");
    assert_eq!(database.count("Done").await, finished as i64);
    assert_eq!(database.count("Pending").await, 250 - finished as i64);

    // The next process takes the rest.
    let next = Running::start(database.runs(), taken.handler());
    wait_until("everything is done", SOON, async || database.count("Done").await == 250).await;
    assert_eq!(taken.len(), 250);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_more_tasks_than_handlers_keeps_its_heartbeat() {
    let Some(database) = Database::new().await else { return };
    let running = Running::start(database.runs().with_concurrency(NonZeroUsize::MIN), |_| async {
        tokio::time::sleep(Duration::from_millis(40)).await;
    });
    // 12 s of work: with tasks left in apalis' buffer no heartbeat would be sent for all that time.
    database.push(&admits(300)).await;
    let mut beats = Vec::new();
    wait_until("everything is done", Duration::from_secs(40), async || {
        let seen: Vec<chrono::DateTime<chrono::Utc>> =
            sqlx::query_scalar("select last_seen from apalis.workers")
                .fetch_all(&database.pool)
                .await
                .unwrap();
        beats.extend(seen.into_iter().filter(|at| !beats.contains(at)).collect::<Vec<_>>());
        database.count("Done").await == 300
    })
    .await;
    let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("longest pause between heartbeats under load: {} ms", longest.num_milliseconds());
    assert!(longest < chrono::Duration::seconds(8), "{longest}");
    running.stop().await;
}

// One thread: the recorder is the thread's own.
#[tokio::test]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    let Some(mut database) = Database::restartable().await else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    database.push(&[admit(1)]).await;
    database.server().halt().await;
    let taken = Taken::new();
    let running = Running::start(Consumer::runs(&database.pool, "scheduler-test"), taken.handler());
    wait_until("it was tried in vain", SOON, async || restarts(&metrics) > 0).await;
    assert_eq!(taken.len(), 0);
    database.server().resume().await;
    taken.reaches(1).await;
    running.stop().await;
}

// One thread: the recorder is the thread's own.
#[tokio::test]
async fn a_database_that_stops_answering_is_left_for_a_new_connection() {
    let Some(database) = Database::new().await else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let proxy = Proxy::start(database.shared().address().await).await.unwrap();
    let url = database.shared().url_through(proxy.address());
    let through = db::pool(&url, "test", db::PoolSize(1)).unwrap();
    let taken = Taken::new();
    let running = Running::start(Consumer::runs(&through, "scheduler-test"), taken.handler());
    database.push(&[admit(1)]).await;
    // Taken is not enough: without its result written it would come again.
    wait_until("the first is done", SOON, async || database.count("Done").await == 1).await;

    proxy.set(Mode::Blackhole).await;
    database.push(&[admit(2)]).await;
    // Nothing tells the worker, not even the end of its connection; it has to lose patience.
    wait_until("the worker is given up", SOON, async || {
        metrics.render().contains("cyberbrain_queue_consumer_restarts_total{queue=\"runs\"} 1")
    })
    .await;
    assert_eq!(taken.len(), 1);
    proxy.set(Mode::Pass).await;
    taken.reaches(2).await;
    running.stop().await;
    let rendered = metrics.render();
    assert!(
        rendered.contains("cyberbrain_queue_tasks_total{queue=\"runs\",outcome=\"done\"} 2"),
        "{rendered}"
    );
    assert!(
        rendered.contains("cyberbrain_queue_task_duration_seconds_count{queue=\"runs\"} 2"),
        "{rendered}"
    );
}

/// How often the consumer began anew.
fn restarts(metrics: &PrometheusHandle) -> u64 {
    let text = metrics.render();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("cyberbrain_queue_consumer_restarts_total{queue=\"runs\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn workers(database: &Database) -> i64 {
    sqlx::query_scalar("select count(*) from apalis.workers").fetch_one(&database.pool).await.unwrap()
}

fn run(task: RunTask) -> cyberbrain_core::ids::RunId {
    match task {
        RunTask::Admit(run) | RunTask::Close(run) => run,
    }
}

fn is_even(task: RunTask) -> bool {
    run(task).uuid().as_u128().is_multiple_of(2)
}
