//! The janitor, and what a killed process leaves behind.

use std::time::Duration;

use cyberbrain_common::queue::{self, Retention, Swept};

use cyberbrain_testkit::wait_until;

use super::{Database, Running, SOON, Taken, admits};

const DAY: Duration = Duration::from_secs(86_400);
const RETENTION: Retention = Retention { done: DAY, failed: Duration::from_secs(3 * 86_400) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_tasks_and_dead_workers_are_deleted_when_they_are_old() {
    let Some(database) = Database::new().await else { return };
    database
        .execute(
            "insert into apalis.workers (id, worker_type, storage_name, last_seen) values
             ('dead', 'runs', '', now() - interval '6 min'),
             ('dead, but named by a row', 'runs', '', now() - interval '6 min'),
             ('alive', 'runs', '', now())",
        )
        .await;
    database
        .execute(
            "insert into apalis.jobs (id, job_type, job, status, attempts, max_attempts, done_at, lock_by)
             select status || days, 'runs', ''::bytea, status, 1, 1, now() - make_interval(days => days),
                    case when days = 4 then 'dead' else 'dead, but named by a row' end
             from unnest(array['Done', 'Failed', 'Killed']) status, unnest(array[0, 2, 4]) days",
        )
        .await;
    // Old, but not finished.
    database.push(&admits(1)).await;

    let swept = queue::janitor(&database.pool, RETENTION).await.unwrap();
    assert_eq!(swept, Swept { freed: 0, deleted: 4, workers: 1 });
    let left: Vec<String> =
        sqlx::query_scalar("select id from apalis.jobs where status <> 'Pending' order by id")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!(left, ["Done0", "Failed0", "Failed2", "Killed0", "Killed2"]);
    assert_eq!(database.count("Pending").await, 1);
    let workers: Vec<String> = sqlx::query_scalar("select id from apalis.workers order by id")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert_eq!(workers, ["alive", "dead, but named by a row"]);
    assert_eq!(queue::janitor(&database.pool, RETENTION).await.unwrap(), Swept::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_delete_is_made_where_one_is_not_enough() {
    let Some(database) = Database::new().await else { return };
    database
        .execute(
            "insert into apalis.jobs (id, job_type, job, status, done_at)
             select n::text, 'runs', '', 'Done', now() - interval '2 days' from generate_series(1, 25000) n",
        )
        .await;
    let swept = queue::janitor(&database.pool, RETENTION).await.unwrap();
    assert_eq!(swept.deleted, 25_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_claimed_for_over_a_minute_is_freed_and_taken() {
    let Some(database) = Database::new().await else { return };
    database.push(&admits(3)).await;
    // The worker looks alive, so apalis would never free them.
    database
        .execute("insert into apalis.workers (id, worker_type, storage_name) values ('stuck', 'runs', '')")
        .await;
    database
        .execute(
            "update apalis.jobs set lock_by = 'stuck', status = v.status, lock_at = now() - v.age
             from (select id, row_number() over (order by id) as n from apalis.jobs) j
             join (values (1, 'Queued', interval '61 s'), (2, 'Running', interval '61 s'),
                          (3, 'Queued', interval '50 s')) v (n, status, age) on v.n = j.n
             where jobs.id = j.id",
        )
        .await;
    let swept = queue::janitor(&database.pool, Retention::default()).await.unwrap();
    assert_eq!(swept, Swept { freed: 2, deleted: 0, workers: 0 });

    let taken = Taken::new();
    let running = Running::start(database.runs(), taken.handler());
    wait_until("both are done", SOON, async || database.count("Done").await == 2).await;
    assert_eq!(database.count("Queued").await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_had_claimed_is_taken_by_another() {
    let Some(database) = Database::new().await else { return };
    database.push(&admits(2)).await;
    database
        .execute(
            "insert into apalis.workers (id, worker_type, storage_name, last_seen)
             values ('killed', 'runs', '', now() - interval '31 s')",
        )
        .await;
    database.execute("update apalis.jobs set status = 'Queued', lock_by = 'killed', lock_at = now()").await;
    let taken = Taken::new();
    let running = Running::start(database.runs(), taken.handler());
    taken.reaches(2).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_up_twice_and_at_once_is_harmless() {
    let Some(database) = Database::new().await else { return };
    let options = database.pool.connect_options();
    let all = futures::future::join_all((0..4).map(|_| queue::setup(&options))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}
