//! The schema as it is after `migrate`: what it refuses, and that migrating is safe to do at any time.

mod audit;
mod columns;
mod constraints;
mod plans;

use std::{process::Stdio, time::Duration};

use cyberbrain_common::db;
use cyberbrain_testkit::TestDb;
use sqlx::{Connection as _, PgConnection};
use tokio::{process::Command, time::timeout};

const URL: &str = "CYBERBRAIN_TEST_MIGRATE_URL";

/// All that `migrate` wrote, row by row.
async fn contents(connection: &mut PgConnection) -> String {
    sqlx::query_scalar(
        "select concat_ws(E'\\n',
             (select string_agg(i::text, E'\\n') from instance i),
             (select string_agg(d::text, E'\\n' order by id) from directives d),
             (select string_agg(j::text, E'\\n' order by id) from jobs j),
             (select string_agg(w::text, E'\\n' order by id) from worker_image_allowlist w),
             (select string_agg(m::text, E'\\n' order by version) from _sqlx_migrations m),
             (select string_agg(m::text, E'\\n' order by version) from apalis._sqlx_migrations m),
             (select string_agg(oid::regclass::text || ' ' || relkind::text, E'\\n' order by oid) from pg_class
              where relnamespace in ('public'::regnamespace, 'apalis'::regnamespace)))",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn counts(connection: &mut PgConnection) -> (i64, i64, i64, i64) {
    sqlx::query_as(
        "select (select count(*) from directives), (select count(*) from jobs),
             (select count(*) from worker_image_allowlist), (select count(*) from instance)",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_empty_database_is_migrated_and_a_second_time_changes_nothing() {
    let Some(db) = TestDb::empty().await else { return };
    let mut connection = db.connect().await;
    assert!(db::pending_migrations(&mut connection).await.unwrap() >= 5);

    db::migrate(&db.url).await.unwrap();
    assert_eq!(db::pending_migrations(&mut connection).await.unwrap(), 0);
    assert_eq!(counts(&mut connection).await, (4, 3, 1, 1));
    let first = contents(&mut connection).await;
    db::migrate(&db.url).await.unwrap();
    assert_eq!(contents(&mut connection).await, first);
}

#[tokio::test]
async fn ten_processes_may_migrate_at_once() {
    let Some(db) = TestDb::empty().await else { return };
    let migrate = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "data::migrating_process"])
            .env(URL, &db.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let processes: Vec<_> = (0..10).map(|_| migrate()).collect();
    for process in processes {
        let output = timeout(Duration::from_secs(120), process.wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
    let mut connection = db.connect().await;
    assert_eq!(counts(&mut connection).await, (4, 3, 1, 1));
    assert_eq!(db::pending_migrations(&mut connection).await.unwrap(), 0);
}

/// Not a test: one of the processes above.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn migrating_process() {
    let Ok(url) = std::env::var(URL) else { return };
    db::migrate(&url).await.unwrap();
}

#[tokio::test]
async fn what_a_person_edited_stays_as_it_is() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    sqlx::raw_sql(
        "update directives set directive_text = 'mine', active = false where directive_type = 'D1';
         update directives set superseded_at = now() where directive_type = 'D2';
         insert into directives (id, directive_type, name, version, directive_text, builtin)
             select gen_random_uuid(), 'D2', name, 2, 'second', true from directives where directive_type = 'D2';
         update directives set name = 'Renamed' where directive_type = 'D3';
         update jobs set active = false, aliases = '{}', config = '{\"mine\": 1}', spec = '{}'
             where task_key = 'log_triage';
         update worker_image_allowlist set active = false, pin = 'sha256:mine';",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let edited = contents(&mut connection).await;
    db::migrate(&db.url).await.unwrap();
    assert_eq!(contents(&mut connection).await, edited);
}

#[tokio::test]
async fn what_a_newer_release_added_is_no_obstacle() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    sqlx::raw_sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    db::migrate(&db.url).await.unwrap();
    assert_eq!(db::pending_migrations(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn a_copy_of_a_database_becomes_another_installation() {
    let Some(original) = TestDb::new().await else { return };
    let before = identity(&original).await;
    let copy = original.copy().await;
    assert_eq!(identity(&copy).await, before, "the copy is byte for byte until it is migrated");

    db::migrate(&copy.url).await.unwrap();
    let renewed = identity(&copy).await;
    assert_ne!(renewed.0, before.0);
    assert_ne!(renewed.1, before.1);
    db::migrate(&copy.url).await.unwrap();
    assert_eq!(identity(&copy).await, renewed);

    db::migrate(&original.url).await.unwrap();
    assert_eq!(identity(&original).await, before);
}

async fn identity(database: &TestDb) -> (String, Vec<u8>) {
    let mut connection = database.connect().await;
    let instance = db::instance::read(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(instance.secret.len(), 32);
    (instance.id.to_string(), instance.secret)
}
