//! Nothing stops a queue: not a payload, not a handler, not the database.

use std::{future::pending, num::NonZeroUsize, time::Duration};

use cyberbrain_common::queue::{Consumer, RunTask};

use super::{Database, Running, SOON, Taken, admit, admits, within};

const ULID: &str = "01J0000000000000000000000";

fn seven() -> NonZeroUsize {
    NonZeroUsize::new(7).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undecodable_payload_is_set_aside_and_the_next_tasks_run() {
    let database = Database::new().await;
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

    within(SOON, "the good ones are done", async || database.count("Done").await == 3).await;
    within(SOON, "the bad ones are set aside", async || database.count("Killed").await == 4).await;
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
    let database = Database::new().await;
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
    within(SOON, "the good ones are done", async || database.count("Done").await == 3).await;
    assert_eq!(database.count("Killed").await, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_panic_or_never_end_do_not_stop_the_queue() {
    let database = Database::new().await;
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

    within(SOON, "the good ones are done", async || database.count("Done").await == 50).await;
    within(SOON, "the bad ones failed", async || database.count("Failed").await == 20).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_survives_a_restart_of_postgresql() {
    let mut database = Database::new().await;
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
        database.server.halt().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        database.server.resume().await;
        let after = admit(1_000 + round);
        let back = std::time::Instant::now();
        within(SOON, "a push works again", async || {
            let Ok(mut tx) = database.pool.begin().await else { return false };
            cyberbrain_common::queue::push(&mut tx, &[after]).await.is_ok() && tx.commit().await.is_ok()
        })
        .await;
        within(SOON, "what was pushed after the restart is taken", async || taken.all().contains(&after))
            .await;
        println!("restart {round}: taking tasks again {:?} after the server answered", back.elapsed());
    }
    within(SOON, "nothing is left behind", async || {
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
    let database = Database::new().await;
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
    within(SOON, "everything is done", async || database.count("Done").await == 250).await;
    assert_eq!(taken.len(), 250);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_more_tasks_than_handlers_keeps_its_heartbeat() {
    let database = Database::new().await;
    let running = Running::start(database.runs().with_concurrency(NonZeroUsize::MIN), |_| async {
        tokio::time::sleep(Duration::from_millis(40)).await;
    });
    // 12 s of work: with tasks left in apalis' buffer no heartbeat would be sent for all that time.
    database.push(&admits(300)).await;
    let mut beats = Vec::new();
    within(Duration::from_secs(40), "everything is done", async || {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    let mut database = Database::new().await;
    database.push(&[admit(1)]).await;
    database.server.halt().await;
    let taken = Taken::new();
    let running = Running::start(Consumer::runs(&database.pool, "scheduler-test"), taken.handler());
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.server.resume().await;
    taken.reaches(1).await;
    running.stop().await;
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
