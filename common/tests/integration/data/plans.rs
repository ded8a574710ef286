//! How every statement of the code is carried out on tables that have grown: none may read a large table whole.
//!
//! The statements are those that the build checked against the schema (`.sqlx`), so that a new one is looked at without being
//! named here. Each is planned for any values first, as a kept statement of a connection would be. What reads a table whole then
//! must be planned for the values it is asked with ([`ASKED`]; the api's connections do so), or say why it may ([`WHOLE`]).

use std::{collections::BTreeSet, path::Path};

use cyberbrain_common::db::{self, runs};
use cyberbrain_testkit::TestDb;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, types::Uuid};

/// What grows with every day of work.
const LARGE: &[&str] = &[
    "runs",
    "run_jobs",
    "attempts",
    "gpu_leases",
    "worker_audit",
    "gpu_samples",
    "llm_calls",
    "run_artifacts",
    "container_inventory",
    "idempotency_keys",
    "uploads",
    "api_keys",
    "sessions",
];

/// By a piece of its text: a statement that is planned for what is asked, and lists of values, as PostgreSQL writes them.
const ASKED: &[(&str, &[&str])] = &[
    (
        "from runs r where $2::text is null and",
        &[
            "null, null, null, null, null, null, null, null, null, null, null, true, 51",
            "'{pending}', null, null, null, null, null, null, null, null, null, null, true, 51",
            "'{pending, running}', null, null, null, null, null, null, null, null, null, null, true, 51",
            "'{success}', null, null, null, null, null, null, null, null, null, null, true, 51",
            "'{cancelled}', null, null, null, null, null, null, null, null, null, null, true, 51",
            "null, null, 'directive 7', null, null, null, null, null, null, null, null, true, 51",
            "null, null, 'no such', null, null, null, null, null, null, null, null, true, 51",
            "null, null, 'D4', null, null, null, null, null, null, null, null, true, 51",
            "null, null, 'D1', null, null, null, null, null, null, null, null, true, 51",
            "null, null, null, 'nightly', null, null, null, null, null, null, null, true, 51",
            "null, null, null, 'tag-7', null, null, null, null, null, null, null, true, 51",
            "null, null, null, 'no such', null, null, null, null, null, null, null, true, 51",
            "null, null, null, null, 'key:7', null, null, null, null, null, null, true, 51",
            "null, null, null, null, 'no such', null, null, null, null, null, null, true, 51",
            "null, null, null, null, null, now() - interval '1 day', null, null, null, null, null, true, 51",
            "null, null, null, null, null, null, now() - interval '20 days', null, null, null, null, true, 51",
            "null, null, null, null, null, now() - interval '9 days', now() - interval '8 days', null, null, null, null, true, 51",
            "null, null, null, null, null, null, null, now() - interval '20 days', gen_random_uuid(), null, null, true, 51",
            "'{failed}', null, null, null, null, null, null, now() - interval '20 days', gen_random_uuid(), null, null, true, 51",
            "null, null, null, null, null, null, null, null, null, now() - interval '1 hour', gen_random_uuid(), true, 51",
            "'{failed}', null, null, null, null, null, null, null, null, null, null, false, 51",
        ],
    ),
    (
        "from runs r where exists (select 1 from run_jobs j where j.run_id = r.id and j.task_key = $2) and",
        &[
            "null, 'log_triage', null, null, null, null, null, null, null, null, null, true, 51",
            "null, 'gpu_report', null, null, null, null, null, null, null, null, null, true, 51",
            "null, 'never_run', null, null, null, null, null, null, null, null, null, true, 51",
            "null, 'log_triage', null, null, null, null, null, now() - interval '20 days', gen_random_uuid(), null, null, true, 51",
            "'{failed}', 'gpu_report', null, null, null, null, null, null, null, now() - interval '1 day', gen_random_uuid(), false, 51",
        ],
    ),
    (
        "exists (select 1 from run_jobs j where j.run_id = r.id and j.task_key = $1) order by finished_at desc",
        &["'log_triage'", "'gpu_report'", "'never_run'"],
    ),
    (
        "from worker_audit where ($1::uuid is null or run_id = $1) and ($2::uuid is null or run_job_id = $2)",
        &[
            "null, null, null, null, null, null, null, null, null, null, 101",
            "md5('run70')::uuid, null, null, null, null, null, null, null, null, null, 101",
            "null, md5('job70.0')::uuid, null, null, null, null, null, null, null, null, 101",
            "null, null, md5('attempt70.0')::uuid, null, null, null, null, null, null, null, 101",
            "null, null, null, 'spawn', null, null, null, null, null, null, 101",
            "null, null, null, 'refuse', null, null, null, null, null, null, 101",
            "null, null, null, null, 'launcher:7', null, null, null, null, null, 101",
            "null, null, null, null, 'key:boss', null, null, null, null, null, 101",
            "null, null, null, null, null, 'host-7', null, null, null, null, 101",
            "null, null, null, null, null, null, now() - interval '1 hour', null, null, null, 101",
            "null, null, null, null, null, null, null, now() - interval '30 days', null, null, 101",
            "null, null, null, null, null, null, null, null, now() - interval '20 days', gen_random_uuid(), 101",
            "null, null, null, 'spawn', null, null, null, null, now() - interval '20 days', gen_random_uuid(), 101",
        ],
    ),
    (
        "from llm_calls where ($2::timestamptz is null",
        &[
            "'day', now() - interval '1 day', null, 100",
            "'model', now() - interval '1 day', now(), 100",
            "'run', now() - interval '1 day', null, 100",
            "'directive', now() - interval '1 day', null, 100",
            "'job', now() - interval '1 day', null, 100",
        ],
    ),
    (
        "from gpu_leases l join attempts a on a.id = l.attempt_id where l.created_at < $2",
        &["now() - interval '2 hours', now()"],
    ),
    (
        "from container_inventory n join hosts h on h.id = n.host_id where (n.container_id = $1 or n.container_name = $1)",
        &[
            "'container-7', null, null, 51",
            "'web-7', now() - interval '50 hours', gen_random_uuid(), 51",
            "'no such', null, null, 51",
        ],
    ),
    (
        "exists (select 1 from run_jobs where task_key = $1 and job_id = $2)",
        &["'never_run', gen_random_uuid()"],
    ),
    ("from api_keys where $1::timestamptz is null", &["null, null, 51", "now(), gen_random_uuid(), 51"]),
    (
        "from uploads where removed_at is null and ($1::timestamptz is null",
        &["null, null, 51", "now() - interval '9 days', gen_random_uuid(), 51"],
    ),
];

/// By a piece of its text: a statement that may read a table whole, and why.
const WHOLE: &[(&str, &str)] = &[
    (
        "from worker_audit_default",
        "the partition is empty unless upkeep stood still for months; then an alert is right",
    ),
    ("exists (select 1 from api_keys where scope = 'admin')", "once at a start; keys are made by people"),
    (
        "exists (select 1 from api_keys where scope = 'admin' and id <> $1",
        "when a person revokes an admin key",
    ),
];

/// A statement of the code.
struct Statement {
    /// In one line.
    text: String,
    /// Types of its parameters, as PostgreSQL writes them.
    types: Vec<String>,
}

fn statements() -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let types = file["describe"]["parameters"]["Left"].as_array().unwrap();
        let types = types.iter().map(|name| {
            let name = name.as_str().unwrap().to_lowercase();
            name.strip_suffix("array").map_or_else(|| name.clone(), |of| format!("{of}[]"))
        });
        let text = one_line(file["query"].as_str().unwrap());
        found.push(Statement { text, types: types.collect() });
    }
    assert!(found.len() > 200, "{}", found.len());
    found.sort_by(|a, b| a.text.cmp(&b.text));
    found
}

/// Without comments, which end with their line.
fn one_line(query: &str) -> String {
    let lines = query.lines().map(|line| line.split(" --").next().unwrap_or_default());
    let lines = lines.filter(|line| !line.trim_start().starts_with("--"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// What there is to be read.
struct Tables {
    /// Large ones and their partitions, without those that are empty: reading nothing whole is right.
    large: BTreeSet<String>,
    /// Indexes of few rows: of what is open, waiting, live.
    partial: BTreeSet<String>,
}

async fn fixture() -> Option<(TestDb, PgConnection, Tables)> {
    let db = TestDb::new().await?;
    let mut connection = db.connect().await;
    sqlx::raw_sql(include_str!("plans.sql")).execute(&mut connection).await.unwrap();
    // As autovacuum leaves them.
    sqlx::raw_sql("vacuum (analyze)").execute(&mut connection).await.unwrap();
    let filled = "select r.relname::text from pg_class r left join pg_inherits i on i.inhrelid = r.oid
        where r.relkind = 'r' and r.reltuples > 5000
          and (r.relname::text = any($1) or i.inhparent::regclass::text = any($1))";
    let large = sqlx::query_scalar(filled).bind(LARGE).fetch_all(&mut connection).await.unwrap();
    assert!(large.len() > LARGE.len(), "too small to say anything: {large:?}");
    let partial = "select indexrelid::regclass::text from pg_index where indpred is not null";
    let partial = sqlx::query_scalar(partial).fetch_all(&mut connection).await.unwrap();
    let tables = Tables { large: BTreeSet::from_iter(large), partial: BTreeSet::from_iter(partial) };
    Some((db, connection, tables))
}

/// The large tables that `statement` reads whole when it is planned in `mode`.
async fn read_whole(
    connection: &mut PgConnection,
    tables: &Tables,
    statement: &Statement,
    mode: &str,
    values: &str,
) -> Vec<String> {
    let types =
        if statement.types.is_empty() { String::new() } else { format!("({})", statement.types.join(", ")) };
    let values = if statement.types.is_empty() { String::new() } else { format!("({values})") };
    let text = &statement.text;
    let mut tx = connection.begin().await.unwrap();
    let prepare = format!("set local plan_cache_mode = {mode}; prepare asked{types} as {text}");
    sqlx::raw_sql(AssertSqlSafe(prepare))
        .execute(&mut *tx)
        .await
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    let explain = format!("explain (format json) execute asked{values}");
    let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *tx).await;
    let row = row.unwrap_or_else(|error| panic!("{error}: {text} with {values}"));
    let plan: Value = row.try_get(0).unwrap();
    sqlx::raw_sql("deallocate asked").execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let mut found = Vec::new();
    look(&plan[0]["Plan"], tables, &mut found);
    found
}

/// A table is read whole by a sequential scan, or by walking along an index of all rows and throwing away what does not fit.
fn look(node: &Value, tables: &Tables, found: &mut Vec<String>) {
    let text = |field: &str| node[field].as_str().unwrap_or_default();
    if tables.large.contains(text("Relation Name")) {
        let walked = matches!(text("Node Type"), "Index Scan" | "Index Only Scan")
            && node["Index Cond"].is_null()
            && !node["Filter"].is_null()
            && !tables.partial.contains(text("Index Name"));
        if text("Node Type") == "Seq Scan" || walked {
            found.push(format!("{} of {} ({})", text("Node Type"), text("Relation Name"), text("Filter")));
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        look(child, tables, found);
    }
}

#[tokio::test]
async fn no_statement_reads_a_large_table_whole() {
    let Some((_db, mut connection, tables)) = fixture().await else { return };
    let statements = statements();
    let mut wrong = Vec::new();
    let pieces: Vec<&str> =
        ASKED.iter().map(|(piece, _)| *piece).chain(WHOLE.iter().map(|(piece, _)| *piece)).collect();
    for piece in &pieces {
        let meant = statements.iter().filter(|statement| statement.text.contains(piece)).count();
        assert_eq!(meant, 1, "not the text of one statement: {piece}");
    }
    for statement in &statements {
        if pieces.iter().any(|piece| statement.text.contains(piece)) {
            continue;
        }
        let nulls = vec!["null"; statement.types.len()].join(", ");
        let found = read_whole(&mut connection, &tables, statement, "force_generic_plan", &nulls).await;
        if !found.is_empty() {
            wrong.push(format!("{}\n    {}", statement.text, found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_list_reads_what_its_filters_and_cursor_ask_for() {
    let Some((_db, mut connection, tables)) = fixture().await else { return };
    let statements = statements();
    let mut wrong = Vec::new();
    for (piece, cases) in ASKED {
        let statement = statements.iter().find(|statement| statement.text.contains(piece)).expect(piece);
        for values in *cases {
            let found = read_whole(&mut connection, &tables, statement, "force_custom_plan", values).await;
            // Half of all rows fit: the first page of them is soon found along the order of the list.
            let found: Vec<_> = found.into_iter().filter(|scan| !scan.starts_with("Index")).collect();
            if !found.is_empty() {
                wrong.push(format!("{piece}\n  with {values}\n    {}", found.join("\n    ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Otherwise the sixth call on a connection might be planned for any filter, which is to walk along all runs.
#[tokio::test]
async fn the_connections_of_lists_plan_for_what_is_asked() {
    let Some(db) = TestDb::new().await else { return };
    let pool = db::pool_for_lists(&db.url, "test", db::PoolSize(1)).unwrap();
    let mut connection = pool.acquire().await.unwrap();
    for _ in 0..10 {
        runs::find(&mut connection, Uuid::nil().into()).await.unwrap();
    }
    let (generic, custom): (i64, i64) = sqlx::query_as(
        "select generic_plans, custom_plans from pg_prepared_statements where statement like '%from runs where id = $1'",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!((generic, custom), (0, 10));
}
