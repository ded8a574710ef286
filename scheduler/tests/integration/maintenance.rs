//! Upkeep: what goes, and what must stay.

use cyberbrain_scheduler::{AuditUpkeep, Gauges, InventoryRetention, QueueJanitor, SampleRetention};

use crate::world::World;

#[tokio::test]
async fn gpu_samples_are_kept_for_a_day() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[1_000, 1_000]).await;
    world
        .execute(
            "insert into gpu_samples (gpu_uuid, at, used_mib, reserved_mib, foreign_mib)
             select uuid, now() - n * interval '1 hour', 0, 0, 0 from gpus, generate_series(0, 47) n",
        )
        .await;
    world
        .execute(
            "insert into gpu_xid_events (gpu_uuid, at, xid)
             select uuid, now() - n * interval '8 hours', 79 from gpus, generate_series(0, 5) n",
        )
        .await;
    let mut retention = SampleRetention::new(world.pool.clone());
    // Those of hours 24 to 47, of two cards; hour 24 is a moment older than a day by now.
    assert_eq!(retention.run_once().await.unwrap(), 48);
    assert_eq!(retention.run_once().await.unwrap(), 0);
    assert_eq!(world.count("select count(*) from gpu_samples").await, 48);
    assert_eq!(world.count("select count(*) from gpu_xid_events").await, 6, "those of 0, 8 and 16 hours ago");
}

#[tokio::test]
async fn inventory_is_kept_for_a_week_and_the_newest_of_each_container_for_ever() {
    let Some(world) = World::new().await else { return };
    world.host("alpha", &[]).await;
    world
        .execute(
            "insert into container_inventory (id, host_id, container_id, container_name, snapshot, taken_at)
             select gen_random_uuid(), id, container, container, '{}', now() - days * interval '1 day'
             from hosts, (values ('gone', 9), ('gone', 10), ('gone', 11), ('alive', 1), ('alive', 8)) c(container, days)",
        )
        .await;
    assert_eq!(InventoryRetention::new(world.pool.clone()).run_once().await.unwrap(), 3);
    let left: Vec<String> = sqlx::query_scalar(
        "select container_id || ' ' || extract(day from now() - taken_at) from container_inventory order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(left, ["alive 1", "gone 9"]);
}

#[tokio::test]
async fn audit_partitions_are_there_before_they_are_needed() {
    let Some(world) = World::new().await else { return };
    let mut upkeep = AuditUpkeep::new(world.pool.clone());
    assert_eq!(upkeep.run_once().await.unwrap(), 0, "the migration made them");
    let last: String = sqlx::query_scalar(
        "select 'worker_audit_' || to_char(now() at time zone 'UTC' + interval '3 months', 'YYYY_MM')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("drop table {last}"))).execute(&world.pool).await.unwrap();
    assert_eq!(upkeep.run_once().await.unwrap(), 1);
}

#[tokio::test]
async fn the_queue_is_swept() {
    let Some(world) = World::new().await else { return };
    world.launch_cpu(1).await;
    world.execute("update apalis.jobs set status = 'Done', done_at = now() - interval '2 hours'").await;
    let swept = QueueJanitor::new(world.pool.clone()).run_once().await.unwrap();
    assert_eq!((swept.deleted, world.count("select count(*) from apalis.jobs").await), (2, 0));
}

#[tokio::test]
async fn gauges_can_always_be_read() {
    let Some(world) = World::new().await else { return };
    let mut gauges = Gauges::new(world.pool.clone());
    gauges.run_once().await.unwrap();
    let run = world.launch_cpu(1).await;
    world.admit(run).await;
    gauges.run_once().await.unwrap();
}
