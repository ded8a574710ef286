//! The audit trail only grows, by whatever name its table is addressed.

use cyberbrain_testkit::TestDb;
use sqlx::{AssertSqlSafe, PgConnection};

/// One row for a current month, one for a time that only the default partition covers.
async fn trail() -> Option<(TestDb, PgConnection)> {
    let db = TestDb::new().await?;
    let mut connection = db.connect().await;
    sqlx::raw_sql(
        "insert into worker_audit (id, operation, actor) values (gen_random_uuid(), 'submit', 'test');
         insert into worker_audit (id, at, operation, actor) values (gen_random_uuid(), '2001-01-01', 'submit', 'test')",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    Some((db, connection))
}

/// The table and all its partitions.
async fn tables(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select relid::text from pg_partition_tree('worker_audit')")
        .fetch_all(connection)
        .await
        .unwrap()
}

async fn refusal(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    outcome.err()?.as_database_error()?.constraint().map(str::to_owned)
}

async fn refused_everywhere(connection: &mut PgConnection) -> Vec<String> {
    let mut accepted = Vec::new();
    for table in tables(connection).await {
        for statement in [
            format!("update {table} set actor = 'somebody else'"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("update only {table} set actor = 'somebody else'"),
            // Nothing to change is no way around either.
            format!("delete from {table} where false"),
        ] {
            if refusal(connection, &statement).await.as_deref() != Some("worker_audit_append_only") {
                accepted.push(statement);
            }
        }
    }
    accepted
}

#[tokio::test]
async fn no_statement_changes_what_was_written() {
    let Some((_db, mut connection)) = trail().await else { return };
    assert!(tables(&mut connection).await.len() >= 6);
    assert_eq!(refused_everywhere(&mut connection).await, [""; 0]);
    let kept: i64 = sqlx::query_scalar("select count(*) from worker_audit where actor = 'test'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn partitions_made_later_are_guarded_too_and_made_once() {
    let Some((_db, mut connection)) = trail().await else { return };
    let before = tables(&mut connection).await.len();
    let make = "select ensure_audit_partitions(9)";
    let made: i32 = sqlx::query_scalar(make).fetch_one(&mut connection).await.unwrap();
    assert_eq!(tables(&mut connection).await.len(), before + 6);
    assert_eq!(made, 6);
    assert_eq!(sqlx::query_scalar::<_, i32>(make).fetch_one(&mut connection).await.unwrap(), 0);
    assert_eq!(refused_everywhere(&mut connection).await, [""; 0]);
}

#[tokio::test]
async fn a_row_lands_in_its_month_in_utc() {
    let Some((_db, mut connection)) = trail().await else { return };
    let row = "with row as (insert into worker_audit (id, at, operation, actor)
        select gen_random_uuid(), date_trunc('month', now() at time zone 'UTC') at time zone 'UTC', 'submit', 'edge'
        returning tableoid::regclass::text as part)
        select part = 'worker_audit_' || to_char(now() at time zone 'UTC', 'YYYY_MM') from row";
    assert!(sqlx::query_scalar::<_, bool>(row).fetch_one(&mut connection).await.unwrap());
}

#[tokio::test]
async fn rows_that_came_before_their_partition_move_into_it() {
    let Some((_db, mut connection)) = trail().await else { return };
    sqlx::raw_sql(
        "insert into worker_audit (id, at, operation, actor)
         select gen_random_uuid(), now() + interval '6 months', 'submit', 'early' from generate_series(1, 3)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let early = "select count(*) from worker_audit where actor = 'early'";
    let in_default = "select count(*) from worker_audit_default where actor = 'early'";
    assert_eq!(sqlx::query_scalar::<_, i64>(in_default).fetch_one(&mut connection).await.unwrap(), 3);
    sqlx::raw_sql("select ensure_audit_partitions(9)").execute(&mut connection).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(early).fetch_one(&mut connection).await.unwrap(), 3);
    assert_eq!(sqlx::query_scalar::<_, i64>(in_default).fetch_one(&mut connection).await.unwrap(), 0);
    assert_eq!(refused_everywhere(&mut connection).await, [""; 0]);
}

#[tokio::test]
async fn the_trail_of_another_server_goes_before_what_is_written_here() {
    let Some((db, mut connection)) = trail().await else { return };
    // Restored from a server that has seen more transactions.
    sqlx::raw_sql(
        "insert into worker_audit (id, operation, actor, tx)
             values (gen_random_uuid(), 'submit', 'elsewhere', 9000000000000);
         insert into worker_audit (id, at, operation, actor, tx)
             values (gen_random_uuid(), '2001-01-01', 'submit', 'elsewhere', 9000000000001)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let own = "select min(tx) from worker_audit where actor = 'test'";
    let before: i64 = sqlx::query_scalar(own).fetch_one(&mut connection).await.unwrap();
    cyberbrain_common::db::migrate(&db.url).await.unwrap();
    let others = "select max(tx) from worker_audit where actor = 'elsewhere'";
    assert_eq!(sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap(), 0);
    assert_eq!(sqlx::query_scalar::<_, i64>(own).fetch_one(&mut connection).await.unwrap(), before);
    assert_eq!(refused_everywhere(&mut connection).await, [""; 0]);
    let again = "select settle_audit_transactions()";
    assert_eq!(sqlx::query_scalar::<_, i32>(again).fetch_one(&mut connection).await.unwrap(), 0);
}
