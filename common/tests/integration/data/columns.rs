//! Every column that can hold text, and what may be in it.
//!
//! A column of text, JSON or bytes that is not listed here fails the test, and so does one that is gone: who adds one says of
//! what kind it is. No kind is a place for prose of a model: there are names, ids, codes of closed sets, sentences of ours,
//! what people write about their own things, counted and typed JSON, and digests. Each bound is held by the database.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::constraints::{fixture, refused_by};

/// What may be in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A word of a closed set, held by a CHECK or by a reference to what is known.
    Closed,
    /// A lower-case word of a closed set of the code's, that grows without a migration; up to so many characters.
    Code(usize),
    /// What a person or an engine calls a thing, an address or a path; up to so many characters.
    Name(usize),
    /// What identifies a machine, a card, a container or an image; up to so many characters.
    Id(usize),
    /// A text that the code makes of a request, to compare by; up to so many bytes, since it is indexed.
    Key(usize),
    /// A sentence of ours with names and numbers in it; up to so many characters.
    Sentence(usize),
    /// What a person wrote about a thing of this installation; up to so many characters.
    UserText(usize),
    /// The report of a Run: deterministic, without model output; up to so many bytes.
    Report(usize),
    /// JSON of a type of ours, or params of a client; up to so many bytes as text.
    Json(usize),
    /// Up to so many names of up to so many characters.
    Names(usize, usize),
    /// So many bytes: a digest or a key.
    Bytes(usize),
    /// Of a library that we use, with its own schema: ids and codes of ours at most.
    NotOurs,
}

use Kind::{Bytes, Closed, Code, Id, Json, Key, Name, Names, NotOurs, Report, Sentence, UserText};

/// JSON in the database may take this many times the bytes of its text: a digit and a comma become twelve.
const JSONB_FACTOR: usize = 8;

const KIB: usize = 1_024;

const COLUMNS: &[(&str, &str, Kind)] = &[
    ("_sqlx_migrations", "checksum", NotOurs),
    ("_sqlx_migrations", "description", NotOurs),
    ("apalis._sqlx_migrations", "checksum", NotOurs),
    ("apalis._sqlx_migrations", "description", NotOurs),
    ("apalis.jobs", "id", NotOurs),
    ("apalis.jobs", "idempotency_key", NotOurs),
    ("apalis.jobs", "job", NotOurs),
    ("apalis.jobs", "job_type", NotOurs),
    ("apalis.jobs", "last_result", NotOurs),
    ("apalis.jobs", "lock_by", NotOurs),
    ("apalis.jobs", "metadata", NotOurs),
    ("apalis.jobs", "status", NotOurs),
    ("apalis.workers", "id", NotOurs),
    ("apalis.workers", "layers", NotOurs),
    ("apalis.workers", "storage_name", NotOurs),
    ("apalis.workers", "worker_type", NotOurs),
    ("api_keys", "name", Name(255)),
    ("api_keys", "prefix", Id(8)),
    ("api_keys", "scope", Closed),
    ("api_keys", "secret_sha256", Bytes(32)),
    ("attempts", "boot_id", Id(255)),
    ("attempts", "container_id", Id(255)),
    ("attempts", "engine_id", Id(255)),
    ("attempts", "failure", Code(64)),
    ("attempts", "failure_detail", Sentence(1_000)),
    ("attempts", "image_id", Id(512)),
    ("attempts", "placement", Closed),
    ("attempts", "selection_reason", Sentence(2_000)),
    ("attempts", "state", Closed),
    ("attempts", "stop_reason", Closed),
    ("collection_cursors", "container_name", Name(512)),
    ("collection_cursors", "task_key", Code(50)),
    ("container_allowlist", "container_id", Id(255)),
    ("container_allowlist", "container_name", Name(255)),
    ("container_allowlist", "description", UserText(1_000)),
    ("container_allowlist", "host", Name(63)),
    ("container_allowlist", "tags", Names(32, 64)),
    ("container_inventory", "container_id", Id(512)),
    ("container_inventory", "container_name", Name(512)),
    ("container_inventory", "snapshot", Json(256 * KIB)),
    ("directives", "description", UserText(1_000)),
    ("directives", "directive_text", UserText(65_536)),
    ("directives", "directive_type", Closed),
    ("directives", "name", Name(255)),
    ("directives", "task_config", Json(64 * KIB)),
    ("directives", "task_list", Names(100, 50)),
    ("gpu_leases", "gpu_uuid", Closed),
    ("gpu_observed", "gpu_uuid", Closed),
    ("gpu_samples", "gpu_uuid", Closed),
    ("gpu_xid_events", "gpu_uuid", Closed),
    ("gpus", "cordon_reason", UserText(500)),
    ("gpus", "health", Closed),
    ("gpus", "health_reason", Sentence(500)),
    ("gpus", "model", Name(255)),
    ("gpus", "uuid", Id(255)),
    ("host_cleanups", "requested_by", Name(255)),
    ("host_images", "image_id", Id(512)),
    ("host_images", "name", Name(255)),
    ("host_images", "tag", Name(128)),
    ("hosts", "boot_id", Id(255)),
    ("hosts", "cordon_reason", UserText(500)),
    ("hosts", "engine_id", Id(255)),
    ("hosts", "labels", Json(64 * KIB)),
    ("hosts", "machine_id", Id(255)),
    ("hosts", "name", Name(63)),
    ("hosts", "presence", Closed),
    ("hosts", "runtime", Closed),
    ("idempotency_keys", "fingerprint", Bytes(32)),
    ("idempotency_keys", "key", Id(255)),
    ("idempotency_keys", "principal", Name(255)),
    ("idempotency_keys", "route", Name(255)),
    ("instance", "secret", Bytes(32)),
    ("job_names", "name", Code(50)),
    ("jobs", "aliases", Names(20, 50)),
    ("jobs", "config", Json(64 * KIB)),
    ("jobs", "default_directive", Closed),
    ("jobs", "description", UserText(1_000)),
    ("jobs", "name", Name(200)),
    ("jobs", "scope", Closed),
    // Arguments and variables of the worker, 64 of each with up to 4,096 characters.
    ("jobs", "spec", Json(2_560 * KIB)),
    ("jobs", "task_key", Code(50)),
    ("launchers", "files_url", Name(2_048)),
    ("launchers", "metrics_url", Name(2_048)),
    ("launchers", "state", Closed),
    ("launchers", "version", Name(64)),
    ("leaders", "role", Code(64)),
    ("llm_calls", "endpoint", Name(64)),
    ("llm_calls", "error_class", Closed),
    ("llm_calls", "model_id", Name(200)),
    ("queue_pauses", "paused_by", Name(255)),
    ("queue_pauses", "queue", Closed),
    ("queue_pauses", "reason", UserText(500)),
    ("run_approvals", "decided_by", Name(255)),
    ("run_approvals", "decision", Closed),
    ("run_approvals", "reason", UserText(500)),
    ("run_artifacts", "artifact_type", Closed),
    ("run_artifacts", "mime_type", Name(127)),
    ("run_artifacts", "path", Name(512)),
    ("run_artifacts", "removed_cause", Closed),
    ("run_artifacts", "sha256", Bytes(32)),
    ("run_jobs", "failure", Code(64)),
    ("run_jobs", "failure_detail", Sentence(1_000)),
    ("run_jobs", "name", Name(200)),
    ("run_jobs", "params", Json(256 * KIB)),
    // The stage has 80 characters at most; the rest are numbers.
    ("run_jobs", "progress", Json(KIB)),
    // Texts in named fields have 200 characters at most.
    ("run_jobs", "result", Json(256 * KIB)),
    ("run_jobs", "selection_reason", Sentence(2_000)),
    ("run_jobs", "shape", Key(2_048)),
    ("run_jobs", "spec", Json(2_560 * KIB)),
    ("run_jobs", "status", Closed),
    ("run_jobs", "submitter", Name(255)),
    ("run_jobs", "task_key", Code(50)),
    ("run_jobs", "waiting_reason", Code(64)),
    ("runs", "directive_name", Name(255)),
    ("runs", "directive_snapshot", Json(512 * KIB)),
    ("runs", "directive_type", Closed),
    ("runs", "hold", Closed),
    ("runs", "origin", Closed),
    ("runs", "params", Json(256 * KIB)),
    ("runs", "report", Json(8_192 * KIB)),
    ("runs", "report_markdown", Report(16_384 * KIB)),
    ("runs", "requested_by", Name(255)),
    ("runs", "status", Closed),
    ("runs", "tags", Names(32, 64)),
    ("schedule_firings", "skipped", Sentence(500)),
    ("schedules", "created_by", Name(255)),
    ("schedules", "cron", Name(255)),
    ("schedules", "kind", Closed),
    ("schedules", "name", Name(255)),
    // A launch request, which is a body of up to 8 MiB.
    ("schedules", "request", Json(8_192 * KIB)),
    ("schedules", "timezone", Name(64)),
    ("sessions", "token_sha256", Bytes(32)),
    ("uploads", "mime_type", Name(127)),
    ("uploads", "name", Name(255)),
    ("uploads", "path", Name(255)),
    ("uploads", "removed_by", Name(255)),
    ("uploads", "removed_cause", Closed),
    ("uploads", "sha256", Bytes(32)),
    ("uploads", "uploaded_by", Name(255)),
    ("worker_audit", "actor", Name(255)),
    ("worker_audit", "config_snapshot", Json(256 * KIB)),
    ("worker_audit", "container_id", Id(255)),
    ("worker_audit", "error", Sentence(1_000)),
    ("worker_audit", "gpus", Names(64, 255)),
    ("worker_audit", "host", Name(255)),
    ("worker_audit", "image", Name(512)),
    ("worker_audit", "operation", Closed),
    ("worker_audit", "selection_reason", Sentence(2_000)),
    ("worker_image_allowlist", "description", UserText(1_000)),
    ("worker_image_allowlist", "name", Name(255)),
    ("worker_image_allowlist", "pin", Id(400)),
    ("worker_image_allowlist", "tag", Name(100)),
];

/// Names of the constraints that these tests prove.
pub(super) fn proven() -> BTreeSet<String> {
    COLUMNS
        .iter()
        .flat_map(|(table, column, _)| [size_of(table, column), format!("{table}_{column}_form")])
        .collect()
}

fn size_of(table: &str, column: &str) -> String {
    format!("{table}_{column}_size")
}

/// What just fits, as an expression of SQL. `None`: only what does not fit is of interest.
fn fitting(kind: Kind) -> Option<String> {
    match kind {
        Name(most) | Id(most) | Sentence(most) | UserText(most) => Some(format!("repeat('ü', {most})")),
        Code(most) | Key(most) | Report(most) => Some(format!("repeat('x', {most})")),

        // As many digits as there is room for: nothing takes more bytes in the database for its text.
        Json(most) => Some(format!("(select jsonb_agg(n % 10) from generate_series(1, {most} / 2 - 1) n)")),
        Names(items, most) => Some(format!("array_fill(repeat('😀', {most}), array[{items}])")),
        Closed | Bytes(_) | NotOurs => None,
    }
}

/// What does not fit.
fn too_much(kind: Kind) -> Option<String> {
    match kind {
        Closed => Some("'no such word'".to_owned()),
        Code(most) | Name(most) | Id(most) | Sentence(most) | UserText(most) | Key(most) | Report(most) => {
            Some(format!("repeat('x', {most} + 1)"))
        }
        Json(most) => Some(format!("jsonb_build_object('x', repeat('x', {most} * {JSONB_FACTOR}))")),
        Names(items, most) => Some(format!("array_fill(repeat('😀', {most}), array[{items} + 1])")),
        Bytes(most) => Some(format!("convert_to(repeat('x', {most} + 1), 'UTF8')")),
        NotOurs => None,
    }
}

/// Puts `value` there. The audit trail takes new rows only.
fn put(table: &str, column: &str, value: &str) -> String {
    if table == "worker_audit" {
        return format!(
            "insert into worker_audit select (jsonb_populate_record(w, jsonb_build_object(
                 'id', gen_random_uuid(), 'at', now(), '{column}', {value}))).* from worker_audit w limit 1"
        );
    }
    format!("update {table} set {column} = {value}")
}

async fn columns(connection: &mut PgConnection) -> BTreeSet<(String, String)> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select case when n.nspname = 'public' then '' else n.nspname || '.' end || r.relname::text, a.attname::text
         from pg_attribute a join pg_class r on r.oid = a.attrelid join pg_namespace n on n.oid = r.relnamespace
         join pg_type t on t.oid = a.atttypid left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
         where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%'
           and r.relkind in ('r', 'p') and not r.relispartition and a.attnum > 0 and not a.attisdropped
           and coalesce(e.typname, t.typname) not in ('uuid', 'timestamptz', 'bool', 'int2', 'int4', 'int8', 'float8')",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    BTreeSet::from_iter(columns)
}

#[tokio::test]
async fn every_column_of_text_is_known_and_none_is_a_place_for_what_models_say() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let there = columns(&mut connection).await;
    let listed: BTreeSet<(String, String)> =
        COLUMNS.iter().map(|(table, column, _)| ((*table).to_owned(), (*column).to_owned())).collect();
    assert!(
        COLUMNS.is_sorted_by_key(|(table, column, _)| (*table, *column)),
        "in order, so that one is found"
    );
    let unknown: Vec<_> = there.difference(&listed).collect();
    assert!(
        unknown.is_empty(),
        "say in COLUMNS what may be in {unknown:?}, with a bound that a migration holds"
    );
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(gone.is_empty(), "no such columns: {gone:?}");
}

#[tokio::test]
async fn every_bound_is_held_by_the_database() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let constraints: Vec<String> = sqlx::query_scalar("select conname::text from pg_constraint")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut wrong = Vec::new();
    for (table, column, kind) in COLUMNS {
        let size = size_of(table, column);
        if let Some(value) = too_much(*kind) {
            let outcome = refused_by(&mut connection, &put(table, column, &value)).await;
            let by_its_own = !constraints.contains(&size) || outcome.as_deref() == Ok(&size);
            if outcome.is_err() || !by_its_own {
                wrong.push(format!("{table}.{column} takes {value}: {outcome:?}"));
            }
        }
        if let Some(value) = fitting(*kind) {
            // Another constraint may have its own reasons: a form, or that no two are alike.
            let outcome = refused_by(&mut connection, &put(table, column, &value)).await;
            if outcome.as_deref() == Ok(&size) || outcome.is_err_and(|told| !told.starts_with("accepted")) {
                wrong.push(format!("{table}.{column} does not take {value}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
