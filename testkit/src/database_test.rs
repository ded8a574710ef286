use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::TestDb;
use crate::{
    chaos::{Mode, Proxy},
    wait_until,
};

async fn number(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

const TABLES: &str = "select count(*) from pg_tables where schemaname in ('public', 'apalis')";

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own_until_it_ends() {
    let start = Instant::now();
    let Some(one) = TestDb::new().await else { return };
    let first = start.elapsed();
    let two = TestDb::new().await.unwrap();
    eprintln!("server, template and database: {first:?}; a second database: {:?}", start.elapsed() - first);

    let mut connection = one.connect().await;
    assert!(number(&mut connection, TABLES).await > 10);
    sqlx::raw_sql("create table only_here ()").execute(&mut connection).await.unwrap();
    let seen: bool = sqlx::query_scalar("select to_regclass('only_here') is not null")
        .fetch_one(&mut two.connect().await)
        .await
        .unwrap();
    assert!(!seen);

    let url = one.url.clone();
    drop(one);
    assert!(PgConnection::connect(&url).await.is_err(), "the database is gone, with a connection open");
}

#[tokio::test]
async fn each_database_has_an_identity_of_its_own() {
    let (Some(one), Some(two)) = (TestDb::new().await, TestDb::new().await) else { return };
    let mut identities = Vec::new();
    for database in [&one, &two] {
        let id: String = sqlx::query_scalar("select id::text from instance")
            .fetch_one(&mut database.connect().await)
            .await
            .unwrap();
        identities.push(id);
    }
    assert_ne!(identities[0], identities[1]);
}

#[tokio::test]
async fn an_empty_one_is_empty_and_a_copy_is_the_same() {
    let Some(empty) = TestDb::empty().await else { return };
    let mut connection = empty.connect().await;
    assert_eq!(number(&mut connection, TABLES).await, 0);
    sqlx::raw_sql("create table here as select 7::bigint as n").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let copy = empty.copy().await;
    assert_eq!(number(&mut copy.connect().await, "select n from here").await, 7);
}

#[tokio::test]
async fn a_pool_heals_after_its_network_was_cut() {
    let Some(db) = TestDb::empty().await else { return };
    let proxy = Proxy::start(db.address().await).await.unwrap();
    let pool = sqlx::PgPool::connect(&db.url_through(proxy.address())).await.unwrap();
    let works = async || sqlx::query("select 1").execute(&pool).await.is_ok();
    assert!(works().await);
    proxy.set(Mode::Cut).await;
    assert!(tokio::time::timeout(Duration::from_secs(2), works()).await != Ok(true));
    proxy.set(Mode::Pass).await;
    wait_until("the pool to connect again", Duration::from_secs(20), works).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_made() {
    let Some(_first) = TestDb::empty().await else { return };
    let start = Instant::now();
    let made = futures::future::join_all((0..10).map(|_| TestDb::new())).await;
    assert_eq!(made.iter().flatten().count(), 10);
    eprintln!("ten databases: {:?}", start.elapsed());
    let start = Instant::now();
    drop(made);
    eprintln!("removed: {:?}", start.elapsed());
}
