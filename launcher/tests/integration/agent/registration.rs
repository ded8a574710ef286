//! Who may be which host, and what is checked before anybody is.

use cyberbrain_common::{
    db::{
        gpus::{self, GpuFacts},
        hosts::{self, HostFacts, RegisterError},
        launchers::{self, LauncherFacts},
    },
    ids::fresh,
};
use cyberbrain_core::ids::{GpuUuid, HostId};
use cyberbrain_testkit::TestDb;
use sqlx::{Connection, PgConnection};

use super::world::World;

fn host(engine: &str, name: &str) -> HostFacts {
    HostFacts {
        engine_id: engine.into(),
        machine_id: "machine".into(),
        name: name.into(),
        boot_id: "boot".into(),
        runtime: "docker",
        labels: [("rack".to_owned(), "7".to_owned())].into(),
        cpu_millis: 4_000,
        memory_mib: 8_192,
        max_attempts: 10,
    }
}

fn gpu(uuid: &str, index: u32) -> GpuFacts {
    GpuFacts {
        uuid: GpuUuid::new(uuid),
        index,
        model: "test".into(),
        simulated: true,
        total_mib: 24_576,
        allocatable_mib: 24_000,
    }
}

async fn register(
    connection: &mut PgConnection,
    facts: &HostFacts,
    cards: &[GpuFacts],
) -> Result<HostId, RegisterError> {
    let mut tx = connection.begin().await?;
    let id = hosts::register(&mut tx, facts).await?;
    gpus::register(&mut tx, id, cards).await?;
    tx.commit().await?;
    Ok(id)
}

async fn live_launcher(connection: &mut PgConnection, host: HostId) {
    let facts = LauncherFacts {
        id: fresh(),
        host,
        pid: 1,
        version: "test",
        files_url: None,
        metrics_url: None,
        logs_root: fresh(),
    };
    launchers::register(connection, &facts).await.unwrap();
}

#[tokio::test]
async fn a_name_or_a_gpu_of_a_live_engine_is_refused() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let first = register(&mut connection, &host("a", "alpha"), &[gpu("GPU-1", 0)]).await.unwrap();
    assert_eq!(
        register(&mut connection, &host("a", "alpha"), &[gpu("GPU-1", 0)]).await.unwrap(),
        first,
        "it is itself"
    );
    live_launcher(&mut connection, first).await;

    let name = register(&mut connection, &host("b", "alpha"), &[]).await.unwrap_err();
    assert!(matches!(name, RegisterError::NameTaken { .. }), "{name}");
    let card = register(&mut connection, &host("b", "beta"), &[gpu("GPU-1", 0)]).await.unwrap_err();
    assert!(matches!(card, RegisterError::GpuTaken { .. }), "{card}");
    let hosts: i64 =
        sqlx::query_scalar("select count(*) from hosts").fetch_one(&mut connection).await.unwrap();
    assert_eq!(hosts, 1, "a refusal leaves nothing");

    sqlx::query("update launchers set state = 'ended'").execute(&mut connection).await.unwrap();
    let second = register(&mut connection, &host("b", "alpha"), &[gpu("GPU-1", 0)]).await.unwrap();
    assert_ne!(second, first);
    let old: String = sqlx::query_scalar("select name from hosts where id = $1")
        .bind(first.uuid())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(old.starts_with("alpha-"), "the dead one keeps its history under {old}");
}

#[tokio::test]
async fn cards_move_between_slots_and_go_away() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let facts = host("a", "alpha");
    register(&mut connection, &facts, &[gpu("GPU-1", 0), gpu("GPU-2", 1)]).await.unwrap();
    register(&mut connection, &facts, &[gpu("GPU-2", 0), gpu("GPU-3", 1)]).await.unwrap();
    register(&mut connection, &facts, &[gpu("GPU-3", 0), gpu("GPU-1", 1)]).await.unwrap();
    let cards: Vec<(String, i32, String)> =
        sqlx::query_as("select uuid, index, health from gpus order by uuid")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let seen: Vec<_> =
        cards.iter().map(|(uuid, index, health)| (uuid.as_str(), *index < 100, health.as_str())).collect();
    assert_eq!(seen, [("GPU-1", true, "healthy"), ("GPU-2", false, "gone"), ("GPU-3", true, "healthy")]);
}

#[tokio::test]
async fn a_restart_of_the_only_launcher_asks_for_a_reconcile_and_a_second_one_does_not() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let id = register(&mut connection, &host("a", "alpha"), &[]).await.unwrap();
    let reconciled = async |connection: &mut PgConnection| -> bool {
        sqlx::query_scalar("select reconciled_at is not null from hosts").fetch_one(connection).await.unwrap()
    };
    assert!(!reconciled(&mut connection).await);
    hosts::mark_reconciled(&mut connection, id).await.unwrap();
    live_launcher(&mut connection, id).await;
    register(&mut connection, &host("a", "alpha"), &[]).await.unwrap();
    assert!(reconciled(&mut connection).await, "a sibling keeps the host in order");
    let rebooted = HostFacts { boot_id: "another".into(), ..host("a", "alpha") };
    register(&mut connection, &rebooted, &[]).await.unwrap();
    assert!(!reconciled(&mut connection).await, "nothing is known after a boot");
    hosts::mark_reconciled(&mut connection, id).await.unwrap();
    sqlx::query("update launchers set state = 'ended'").execute(&mut connection).await.unwrap();
    register(&mut connection, &rebooted, &[]).await.unwrap();
    assert!(!reconciled(&mut connection).await);
}

#[tokio::test]
async fn a_host_on_which_workers_can_not_run_does_not_register() {
    let Some(world) = World::new().await else { return };
    // Its worker image runs `sleep worker self-test …`, which no sleep understands.
    let error = world.start(&[]).ended().await.unwrap_err();
    let told = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(told.contains("--skip-preflight") && told.contains("exit code 1"), "{told}");
    let hosts: i64 = sqlx::query_scalar("select count(*) from hosts").fetch_one(&world.pool).await.unwrap();
    assert_eq!(hosts, 0);
    let left = world.engine.list_ours(world.instance).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
