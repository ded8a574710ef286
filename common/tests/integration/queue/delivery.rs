//! What is committed arrives, once and soon; what is not does not.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use cyberbrain_common::queue::{self, Consumer, LaunchTask, PlaceTask, Queue};
use cyberbrain_core::ids::RunJobId;
use uuid::Uuid;

use cyberbrain_testkit::wait_until;

use super::{Database, NEVER, Running, SOON, Taken, admit, admits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_push_leaves_no_task() {
    let Some(database) = Database::new().await else { return };
    let taken = Taken::new();
    let running = Running::start(database.runs(), taken.handler());

    let mut tx = database.pool.begin().await.unwrap();
    queue::push(&mut tx, &admits(2_500)).await.unwrap();
    tx.rollback().await.unwrap();
    database.push(&[admit(9_999)]).await;

    taken.reaches(1).await;
    wait_until("the committed task is done", SOON, async || database.count("Done").await == 1).await;
    assert_eq!(taken.all(), [admit(9_999)]);
    let rows: i64 =
        sqlx::query_scalar("select count(*) from apalis.jobs").fetch_one(&database.pool).await.unwrap();
    assert_eq!(rows, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_task_is_taken_within_50_ms() {
    let Some(database) = Database::new().await else { return };
    let taken = Taken::new();
    let running = Running::start(database.runs().with_poll_interval(NEVER), taken.handler());
    // The first one waits for the consumer to come up.
    database.push(&[admit(0)]).await;
    taken.reaches(1).await;

    let mut latencies = Vec::new();
    for number in 1..=100_u32 {
        let mut tx = database.pool.begin().await.unwrap();
        queue::push(&mut tx, &[admit(number.into())]).await.unwrap();
        let before_commit = Instant::now();
        tx.commit().await.unwrap();
        taken.reaches(number as usize + 1).await;
        latencies.push(taken.last_at().duration_since(before_commit));
    }
    latencies.sort_unstable();
    let (p50, p99) = (latencies[49], latencies[98]);
    println!(
        "commit to handler, 100 tasks, notifications only: p50 {p50:?}, p99 {p99:?}, max {:?}",
        latencies[99]
    );
    assert!(p50 < Duration::from_millis(50), "p50 {p50:?}");
    assert!(p99 < Duration::from_millis(1_000), "p99 {p99:?}");
    running.stop().await;
}

/// The second of two pushes may be announced while the claim that the first one caused is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost_between_claims() {
    let Some(database) = Database::new().await else { return };
    let taken = Taken::new();
    let running = Running::start(database.runs().with_poll_interval(NEVER), taken.handler());
    database.push(&[admit(0)]).await;
    taken.reaches(1).await;

    let mut slowest = Duration::ZERO;
    for round in 0..400_u32 {
        let started = Instant::now();
        database.push(&[admit(1)]).await;
        tokio::time::sleep(Duration::from_micros(u64::from(round) % 40 * 50)).await;
        database.push(&[admit(2)]).await;
        taken.reaches(round as usize * 2 + 3).await;
        slowest = slowest.max(started.elapsed());
    }
    println!("400 pairs of pushes, notifications only: slowest pair {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}: only the next heartbeat found it");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_take_10_000_tasks_each_once() {
    const TASKS: usize = 10_000;
    let Some(database) = Database::new().await else { return };
    let (left, right) = (Taken::new(), Taken::new());
    let consumers = [&left, &right].map(|taken| Running::start(database.runs(), taken.handler()));

    let started = Instant::now();
    for tasks in admits(TASKS as u128).chunks(1_000) {
        database.push(tasks).await;
    }
    let pushed = started.elapsed();
    wait_until("all tasks are done", Duration::from_secs(120), async || {
        database.count("Done").await == TASKS as i64
    })
    .await;
    println!(
        "10,000 tasks: pushed in {pushed:?}, all done after {:?}, shares {} and {}",
        started.elapsed(),
        left.len(),
        right.len()
    );

    let mut times = HashMap::new();
    for task in left.all().into_iter().chain(right.all()) {
        *times.entry(format!("{task:?}")).or_insert(0) += 1;
    }
    assert_eq!(times.len(), TASKS, "some were lost");
    assert_eq!(times.values().filter(|count| **count != 1).count(), 0, "some came twice");
    assert!(left.len() > 0 && right.len() > 0, "one took nothing");
    for running in consumers {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_gets_its_own_offers_only() {
    let Some(database) = Database::new().await else { return };
    let offer = |host: u128, attempt: u128| LaunchTask {
        host: Uuid::from_u128(host).into(),
        attempt: Uuid::from_u128(attempt).into(),
    };
    let taken = Taken::new();
    let mine = Uuid::from_u128(1).into();
    let consumer = Consumer::launch(&database.pool, "launcher-test", mine).with_poll_interval(NEVER);
    let running = Running::start(consumer, taken.handler());

    database.push(&[offer(2, 20), offer(1, 10), offer(2, 21), offer(1, 11)]).await;
    taken.reaches(2).await;
    wait_until("both are done", SOON, async || database.count("Done").await == 2).await;
    let mut all = taken.all();
    all.sort_by_key(|offer| offer.attempt);
    assert_eq!(all, [offer(1, 10), offer(1, 11)]);

    let waiting = queue::stats(&database.pool).await.unwrap();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(waiting[0].queue, Queue::Launch(Uuid::from_u128(2).into()));
    assert_eq!(waiting[0].depth, 2);
    assert!((0.0..60.0).contains(&waiting[0].oldest_seconds), "{waiting:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_run_jobs_travel_in_one_task() {
    let Some(database) = Database::new().await else { return };
    let ids: Vec<RunJobId> = (0..1_001).map(|n| Uuid::from_u128(n).into()).collect();
    database.push(&PlaceTask::for_all(&ids)).await;
    let taken = Taken::new();
    let running = Running::start(Consumer::run_jobs(&database.pool, "scheduler-test"), taken.handler());
    taken.reaches(2).await;
    let mut sizes: Vec<usize> = taken.all().iter().map(|task: &PlaceTask| task.run_jobs().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1_000]);
    running.stop().await;
}
