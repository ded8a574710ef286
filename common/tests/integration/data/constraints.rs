//! Every constraint refuses what it should, by its name, and none is without a case here.

use std::collections::BTreeSet;

use cyberbrain_testkit::TestDb;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A second attempt on the fixture's host, with this much CPU and memory.
macro_rules! booking {
    ($cpu:literal, $memory:literal) => {
        concat!(
            "insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, cpu_millis, memory_mib,
                 selection_reason, placement, deadline_at)
             select gen_random_uuid(), id, run_id, 1, '00000000-0000-0000-0000-000000000001', 'engine', ",
            $cpu,
            ", ",
            $memory,
            ", '', 'cpu', now() from run_jobs where name = 'second'"
        )
    };
}

/// Against the rows of `fixture.sql`: what must be refused, and by which constraint.
const CASES: &[(&str, &str)] = &[
    ("instance_is_single", "insert into instance select false, id, secret, 1, 1 from instance"),
    ("instance_secret_size", "update instance set secret = 'short'"),
    ("directives_type_known", "update directives set directive_type = 'D5'"),
    ("directives_name_size", "update directives set name = ''"),
    ("directives_name_size", "update directives set name = repeat('x', 256)"),
    ("directives_version_positive", "update directives set version = 0"),
    ("directives_max_concurrent_runs_positive", "update directives set max_concurrent_runs = 0"),
    (
        "directives_name_version_unique",
        "insert into directives (id, directive_type, name, version, superseded_at)
         select gen_random_uuid(), directive_type, name, version, now() from directives",
    ),
    (
        "directives_current",
        "insert into directives (id, directive_type, name, version)
         select gen_random_uuid(), directive_type, name, version + 1 from directives",
    ),
    ("jobs_task_key_unique", "update jobs set task_key = 'same'"),
    ("jobs_task_key_form", "update jobs set task_key = 'Log Triage'"),
    ("jobs_task_key_form", "update jobs set task_key = ''"),
    ("job_names_form", "update jobs set aliases = '{Task 1}'"),
    ("job_names_pkey", "update jobs set aliases = '{gpu_report}' where task_key = 'log_triage'"),
    ("job_names_pkey", "update jobs set aliases = '{task1}' where task_key = 'gpu_report'"),
    ("job_names_pkey", "update jobs set aliases = '{a, a}' where task_key = 'gpu_report'"),
    ("jobs_scope_known", "update jobs set scope = 'all'"),
    ("jobs_default_directive_known", "update jobs set default_directive = 'D9'"),
    ("worker_images_name_size", "update worker_image_allowlist set name = ''"),
    ("worker_images_tag_size", "update worker_image_allowlist set tag = repeat('x', 101)"),
    ("worker_images_min_vram_positive", "update worker_image_allowlist set min_vram_mib = 0"),
    (
        "worker_images_name_tag_unique",
        "insert into worker_image_allowlist (id, name, tag, pin)
         select gen_random_uuid(), name, tag, 'sha256:0' from worker_image_allowlist",
    ),
    ("worker_images_pinned", "update worker_image_allowlist set builtin = false, pin = null"),
    ("container_allowlist_id_form", "update container_allowlist set container_id = '../etc'"),
    // hosts, launchers, GPUs
    (
        "hosts_name_unique",
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
         select gen_random_uuid(), 'other', machine_id, name, boot_id, runtime, 1, 1 from hosts",
    ),
    ("hosts_name_form", "update hosts set name = '-dash'"),
    ("hosts_runtime_known", "update hosts set runtime = 'podman'"),
    ("hosts_cpu_not_negative", "alter table hosts drop constraint hosts_cpu_booked; update hosts set cpu_millis = -1"),
    (
        "hosts_memory_not_negative",
        "alter table hosts drop constraint hosts_memory_booked; update hosts set memory_mib = -1",
    ),
    (
        "hosts_max_attempts_positive",
        "alter table hosts drop constraint hosts_attempts_booked; update hosts set max_attempts = 0",
    ),
    ("hosts_presence_known", "update hosts set presence = 'asleep'"),
    (
        "hosts_identity_unique",
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
         select gen_random_uuid(), engine_id, machine_id, 'host-b', boot_id, runtime, 1, 1 from hosts",
    ),
    ("hosts_cpu_booked", "update hosts set cpu_millis = 999"),
    ("hosts_cpu_booked", "update hosts set reserved_cpu_millis = -1"),
    ("hosts_memory_booked", "update hosts set memory_mib = 511"),
    ("hosts_attempts_booked", "update hosts set open_attempts = 3"),
    ("launchers_state_known", "update launchers set state = 'odd'"),
    ("gpus_index_not_negative", "update gpus set index = -1 where uuid = 'GPU-0'"),
    (
        "gpus_total_not_negative",
        "alter table gpus drop constraint gpus_allocatable_within, drop constraint gpus_not_overbooked;
         update gpus set total_mib = -1",
    ),
    ("gpus_health_known", "update gpus set health = 'odd'"),
    ("gpus_host_index_unique", "update gpus set index = 7"),
    ("gpus_allocatable_within", "update gpus set allocatable_mib = total_mib + 1"),
    ("gpus_not_overbooked", "update gpus set reserved_mib = allocatable_mib + 1"),
    ("gpus_not_overbooked", "update gpus set allocatable_mib = 19999"),
    ("gpu_observed_utilization_range", "update gpu_observed set utilization_percent = 101"),
    ("gpu_samples_corrected_not_negative", "update gpu_samples set ecc_corrected = -1"),
    ("gpu_samples_uncorrected_not_negative", "update gpu_samples set ecc_uncorrected = -1"),
    ("gpu_xid_events_number_not_negative", "update gpu_xid_events set xid = -1"),
    ("leaders_term_positive", "update leaders set term = 0"),
    // runs and their jobs
    ("runs_status_known", "update runs set status = 'odd'"),
    ("runs_hold_known", "update runs set hold = 'odd'"),
    ("runs_directive_type_known", "update runs set directive_type = 'D5'"),
    ("runs_priority_range", "update runs set priority = 101"),
    ("runs_prompt_tokens_not_negative", "update runs set prompt_tokens = -1"),
    ("runs_completion_tokens_not_negative", "update runs set completion_tokens = -1"),
    ("runs_origin_known", "update runs set origin = 'odd'"),
    ("runs_origin_whole", "update runs set origin = null"),
    ("runs_origin_whole", "update runs set origin_run_id = null"),
    ("runs_ended_has_finish", "update runs set status = 'success'"),
    ("runs_ended_has_finish", "update runs set finished_at = now()"),
    ("run_jobs_name_size", "update run_jobs set name = ''"),
    ("run_jobs_status_known", "update run_jobs set status = 'odd'"),
    ("run_jobs_priority_range", "update run_jobs set priority = -101"),
    ("run_jobs_attempts_not_negative", "update run_jobs set attempts = -1"),
    ("run_jobs_failure_detail_size", "update run_jobs set failure_detail = repeat('x', 1001)"),
    ("run_jobs_progress_stage_size", "update run_jobs set progress = jsonb_build_object('stage', repeat('x', 81))"),
    ("run_jobs_prompt_tokens_not_negative", "update run_jobs set prompt_tokens = -1"),
    ("run_jobs_completion_tokens_not_negative", "update run_jobs set completion_tokens = -1"),
    ("run_jobs_run_ordinal_unique", "update run_jobs set ordinal = 7"),
    ("run_jobs_open_has_deadline", "update run_jobs set deadline_at = null"),
    ("run_jobs_ended_has_finish", "update run_jobs set status = 'success'"),
    ("run_jobs_failed_has_failure", "update run_jobs set status = 'failed', finished_at = now()"),
    ("run_jobs_failed_has_failure", "update run_jobs set status = 'cancelled', finished_at = now()"),
    // attempts and what they hold
    ("attempts_number_positive", "update attempts set number = 0"),
    ("attempts_state_known", "update attempts set state = 'odd'"),
    ("attempts_fence_positive", "update attempts set fence = 0"),
    ("attempts_cpu_not_negative", "update attempts set cpu_millis = -1"),
    ("attempts_memory_not_negative", "update attempts set memory_mib = -1"),
    ("attempts_placement_known", "update attempts set placement = 'moon'"),
    ("attempts_stop_reason_known", "update attempts set stop_reason = 'odd'"),
    ("attempts_failure_detail_size", "update attempts set failure_detail = repeat('x', 1001)"),
    (
        "attempts_number_unique",
        "insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, state, cpu_millis, memory_mib,
             selection_reason, placement, ended_at)
         select gen_random_uuid(), run_job_id, run_id, number, host_id, engine_id, 'done', 0, 0, '', 'cpu', now()
         from attempts",
    ),
    (
        "attempts_one_open",
        "insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, state, cpu_millis, memory_mib,
             selection_reason, placement, deadline_at)
         select gen_random_uuid(), run_job_id, run_id, 2, host_id, engine_id, 'offered', 0, 0, '', 'cpu', now()
         from attempts",
    ),
    ("attempts_open_has_deadline", "update attempts set deadline_at = null"),
    ("attempts_ended_has_time", "update attempts set state = 'done'"),
    ("attempts_ended_has_time", "update attempts set ended_at = now()"),
    ("attempts_owned", "update attempts set state = 'offered'"),
    ("attempts_only_released", "update attempts set cpu_millis = cpu_millis + 1"),
    ("attempts_only_released", "update attempts set released_at = now(); update attempts set released_at = null"),
    ("gpu_leases_reserve_something", "update gpu_leases set reserved_mib = 0"),
    ("gpu_leases_only_released", "update gpu_leases set reserved_mib = reserved_mib - 1"),
    ("gpu_leases_only_released", "update gpu_leases set gpu_uuid = 'GPU-1'"),
    ("gpu_leases_only_released", "update gpu_leases set released_at = now(); update gpu_leases set released_at = null"),
    // audit
    ("worker_audit_operation_known", "insert into worker_audit (id, operation, actor) values (gen_random_uuid(), 'x', '')"),
    (
        "worker_audit_error_size",
        "insert into worker_audit (id, operation, actor, error) values (gen_random_uuid(), 'error', '', repeat('x', 1001))",
    ),
    // what runs leave behind
    ("llm_calls_prompt_not_negative", "update llm_calls set prompt_tokens = -1"),
    ("llm_calls_completion_not_negative", "update llm_calls set completion_tokens = -1"),
    ("llm_calls_total_not_negative", "update llm_calls set total_tokens = -1"),
    ("llm_calls_endpoint_size", "update llm_calls set endpoint = ''"),
    ("llm_calls_endpoint_size", "update llm_calls set endpoint = repeat('x', 65)"),
    ("llm_calls_model_size", "update llm_calls set model_id = repeat('x', 201)"),
    ("llm_calls_duration_not_negative", "update llm_calls set duration_ms = -1"),
    ("llm_calls_error_known", "update llm_calls set success = false, error_class = 'the prompt was: …'"),
    ("llm_calls_failed_has_error", "update llm_calls set success = false"),
    ("run_artifacts_type_known", "update run_artifacts set artifact_type = 'odd'"),
    ("run_artifacts_path_relative", "update run_artifacts set path = '/etc/passwd'"),
    ("run_artifacts_path_relative", "update run_artifacts set path = '..'"),
    ("run_artifacts_path_relative", "update run_artifacts set path = 'a/../../b'"),
    ("run_artifacts_path_relative", "update run_artifacts set path = repeat('x', 513)"),
    ("run_artifacts_size_not_negative", "update run_artifacts set size_bytes = -1"),
    ("run_artifacts_sha256_size", "update run_artifacts set sha256 = 'short'"),
    ("run_artifacts_removed_before_purged", "update run_artifacts set removed_at = null, purged_at = now()"),
    ("run_artifacts_cause_known", "update run_artifacts set removed_at = now(), removed_cause = 'odd'"),
    ("run_artifacts_removed_with_cause", "update run_artifacts set removed_at = null, removed_cause = 'age'"),
    (
        "run_artifacts_path_unique",
        "insert into run_artifacts (id, run_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), run_id, host_id, 'data', path, 1, sha256, mime_type from run_artifacts",
    ),
    ("uploads_size_not_negative", "update uploads set size_bytes = -1"),
    ("uploads_cause_known", "update uploads set removed_at = now(), removed_by = 'x', removed_cause = 'odd'"),
    ("uploads_removed_by_somebody", "update uploads set removed_at = now()"),
    ("uploads_removed_with_cause", "update uploads set removed_cause = 'age'"),
    ("uploads_removed_before_purged", "update uploads set purged_at = now()"),
    ("uploads_sha256_size", "update uploads set sha256 = 'short'"),
    (
        "schedules_name_unique",
        "insert into schedules (id, name, kind, request, created_by)
         select gen_random_uuid(), name, kind, request, '' from schedules",
    ),
    ("schedules_kind_known", "update schedules set kind = 'odd'"),
    ("schedules_interval_positive", "update schedules set kind = 'interval', interval_seconds = 0"),
    ("schedules_kind_complete", "update schedules set kind = 'interval'"),
    ("schedules_kind_complete", "update schedules set kind = 'cron'"),
    ("schedules_kind_complete", "update schedules set cron = '* * * * *'"),
    (
        "api_keys_name_unique",
        "insert into api_keys (id, name, prefix, secret_sha256, scope)
         select gen_random_uuid(), name, 'zzzzzzzz', secret_sha256, scope from api_keys",
    ),
    (
        "api_keys_prefix_unique",
        "insert into api_keys (id, name, prefix, secret_sha256, scope)
         select gen_random_uuid(), 'other', prefix, secret_sha256, scope from api_keys",
    ),
    ("api_keys_prefix_form", "update api_keys set prefix = 'short'"),
    ("api_keys_hash_size", "update api_keys set secret_sha256 = 'short'"),
    ("sessions_token_size", "update sessions set token_sha256 = 'short'"),
    ("api_keys_scope_known", "update api_keys set scope = 'root'"),
    ("idempotency_keys_size", "update idempotency_keys set key = ''"),
    ("idempotency_keys_size", "update idempotency_keys set key = repeat('x', 256)"),
    ("run_approvals_decision_known", "update run_approvals set decision = 'maybe'"),
    ("run_approvals_decided_by_size", "update run_approvals set decided_by = ''"),
    ("run_approvals_reason_size", "update run_approvals set reason = repeat('x', 501)"),
    ("hosts_cordon_reason_size", "update hosts set cordon_reason = repeat('x', 501)"),
    ("gpus_cordon_reason_size", "update gpus set cordon_reason = repeat('x', 501)"),
    ("queue_pauses_paused_by_size", "update queue_pauses set paused_by = ''"),
    ("queue_pauses_reason_size", "update queue_pauses set reason = repeat('x', 501)"),
    ("host_cleanups_requested_by_size", "update host_cleanups set requested_by = ''"),
    ("host_cleanups_seen_not_negative", "update host_cleanups set seen = -1"),
    ("host_cleanups_removed_not_negative", "update host_cleanups set removed = -1"),
    ("host_cleanups_quarantined_not_negative", "update host_cleanups set quarantined = -1"),
    ("host_cleanups_done_whole", "update host_cleanups set done_at = null"),
    ("host_cleanups_done_whole", "update host_cleanups set removed = null"),
    (
        "host_cleanups_one_open",
        "insert into host_cleanups (id, host_id, requested_by)
         select gen_random_uuid(), host_id, 'one' from host_cleanups;
         insert into host_cleanups (id, host_id, requested_by)
         select gen_random_uuid(), host_id, 'two' from host_cleanups limit 1",
    ),
    ("queue_pauses_queue_known", "update queue_pauses set queue = 'odd'"),
    // the ledgers, by way of what books them
    (
        "gpus_not_overbooked",
        "insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, cpu_millis, memory_mib,
             selection_reason, placement, deadline_at)
         select '00000000-0000-0000-0000-000000000015', id, run_id, 1, '00000000-0000-0000-0000-000000000001', 'engine',
             0, 0, '', 'gpu', now() from run_jobs where name = 'second';
         insert into gpu_leases values ('00000000-0000-0000-0000-000000000015', 'GPU-0', 4001, now(), null)",
    ),
    ("hosts_cpu_booked", booking!("7001", "1")),
    ("hosts_memory_booked", booking!("1", "15873")),
    ("hosts_attempts_booked", concat!("update hosts set max_attempts = 1;", booking!("1", "1"))),
];

pub(super) async fn fixture() -> Option<(TestDb, PgConnection)> {
    let db = TestDb::new().await?;
    let mut connection = db.connect().await;
    sqlx::raw_sql(include_str!("fixture.sql")).execute(&mut connection).await.unwrap();
    Some((db, connection))
}

/// Who refused `statement`, or why nobody did.
pub(super) async fn refused_by(connection: &mut PgConnection, statement: &str) -> Result<String, String> {
    let mut tx = connection.begin().await.unwrap();
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await;
    tx.rollback().await.unwrap();
    match outcome {
        Ok(done) => Err(format!("accepted, {} rows", done.rows_affected())),
        Err(sqlx::Error::Database(error)) => {
            error.constraint().map(str::to_owned).ok_or_else(|| error.message().to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn each_refuses_what_it_should() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let mut wrong = Vec::new();
    for (constraint, statement) in CASES {
        let outcome = refused_by(&mut connection, statement).await;
        if outcome.as_deref() != Ok(constraint) {
            wrong.push(format!("{constraint}: {outcome:?}: {statement}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn none_is_without_a_case() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let names: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint c join pg_class r on r.oid = c.conrelid
         where r.relnamespace = 'public'::regnamespace and contype in ('c', 'u', 'x') and not relispartition
         union
         select relname from pg_index i join pg_class r on r.oid = i.indexrelid
         where r.relnamespace = 'public'::regnamespace and indisunique and not indisprimary and not relispartition",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let known: BTreeSet<&str> = CASES.iter().map(|(constraint, _)| *constraint).collect();
    let bounds = super::columns::proven();
    let without: Vec<&String> =
        names.iter().filter(|name| !known.contains(name.as_str()) && !bounds.contains(*name)).collect();
    assert!(names.len() > 50, "{names:?}");
    assert!(without.is_empty(), "no case for {without:?}");
}

#[tokio::test]
async fn each_foreign_key_refuses_what_is_not_there() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let keys: Vec<(String, String, String, String)> = sqlx::query_as(
        "select conname::text, r.relname::text, a.attname::text, t.typname::text
         from pg_constraint c join pg_class r on r.oid = c.conrelid
         join pg_attribute a on a.attrelid = r.oid and a.attnum = c.conkey[1] join pg_type t on t.oid = a.atttypid
         where r.relnamespace = 'public'::regnamespace and contype = 'f' and cardinality(conkey) = 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(keys.len() > 20, "{keys:?}");
    let mut wrong = Vec::new();
    for (constraint, table, column, kind) in keys {
        let nobody = if kind == "uuid" { "gen_random_uuid()" } else { "'nobody'" };
        let outcome = refused_by(&mut connection, &format!("update {table} set {column} = {nobody}")).await;
        if outcome.as_ref() != Ok(&constraint) {
            wrong.push(format!("{constraint}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn each_primary_key_refuses_a_second_row() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
         and not relispartition and relname <> '_sqlx_migrations'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 25, "{tables:?}");
    let mut wrong = Vec::new();
    for table in tables {
        let outcome =
            refused_by(&mut connection, &format!("insert into {table} select * from {table} limit 1")).await;
        // A partition's own key is named after the partition.
        if !outcome.as_ref().is_ok_and(|name| name.starts_with(table.as_str()) && name.ends_with("_pkey")) {
            wrong.push(format!("{table}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_ledgers_follow_the_leases() {
    let Some((_db, mut connection)) = fixture().await else { return };
    let booked = "select row(reserved_mib, reserved_cpu_millis, reserved_memory_mib, open_attempts)::text
        from gpus join hosts on hosts.id = host_id where uuid = 'GPU-0'";
    let mut ledger = Vec::new();
    for step in [
        "select",
        "update gpu_leases set released_at = now()",
        // Again changes nothing.
        "update gpu_leases set released_at = now()",
        "update attempts set state = 'done', ended_at = now()",
        "update attempts set released_at = now()",
        "update attempts set released_at = now()",
    ] {
        sqlx::raw_sql(step).execute(&mut connection).await.unwrap();
        ledger.push(sqlx::query_scalar::<_, String>(booked).fetch_one(&mut connection).await.unwrap());
    }
    let kept = "(0,1000,512,1)";
    assert_eq!(ledger, ["(20000,1000,512,1)", kept, kept, kept, "(0,0,0,0)", "(0,0,0,0)"]);
}
