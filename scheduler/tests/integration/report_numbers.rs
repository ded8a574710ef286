//! Every number of a report, in both forms, is that of the rows of its Run.

use std::collections::BTreeMap;

use cyberbrain_common::{
    db::{
        llm_calls::{self, LlmCall},
        offers::Taken,
        transition::{Facts, Step, transition},
    },
    ids::fresh,
};
use cyberbrain_core::{
    ids::RunId,
    lifecycle::{Event, FailureKind, Outcome, RunStatus},
    outcome::JobResult,
};
use cyberbrain_scheduler::{Closing, close};
use serde_json::{Value, json};

use crate::world::{LAUNCHER, World};

#[path = "../../../core/src/report/read_back.rs"]
mod read_back;

/// What the rows say, by JSON pointer, as text. Times to the second, lengths in whole milliseconds.
async fn rows(world: &World, run: RunId) -> BTreeMap<String, String> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        r#"with job as (
               select j.*, '/jobs/' || row_number() over (order by ordinal) - 1 as key, result as r
               from run_jobs j where run_id = $1),
           file as (
               select job.key, f.size_bytes, count(*) over (partition by job.id) as all_files,
                   row_number() over (partition by job.id order by f.artifact_type, f.path) - 1 as n
               from job join run_artifacts f on f.run_job_id = job.id),
           card as (
               select job.key, l.reserved_mib, row_number() over (partition by a.id order by l.gpu_uuid) - 1 as n
               from job join attempts a on a.run_job_id = job.id and a.number = job.attempts
                   join gpu_leases l on l.attempt_id = a.id),
           finding as (
               select row_number() over (order by job.ordinal, f.n) - 1 as n, f.value as f
               from job, jsonb_array_elements(job.r -> 'findings') with ordinality f (value, n)),
           usage as (
               select row_number() over (order by sum(total_tokens) desc) - 1 as n, count(*) as calls,
                   sum(prompt_tokens) as prompt, sum(completion_tokens) as completion, sum(total_tokens) as total
               from llm_calls where run_id = $1 group by model_id),
           span as (
               select '/waited_ms' as key, started_at - created_at as span from runs where id = $1
               union all select '/ran_ms', finished_at - started_at from runs where id = $1
               union all select key || '/ran_ms', finished_at - started_at from job),
           instant as (
               select '/created_at' as key, created_at as at from runs where id = $1
               union all select '/started_at', started_at from runs where id = $1
               union all select '/finished_at', finished_at from runs where id = $1
               union all select key || '/started_at', started_at from job
               union all select '/findings/' || n || '/first_seen', (f ->> 'first_seen')::timestamptz from finding
               union all select '/findings/' || n || '/last_seen', (f ->> 'last_seen')::timestamptz from finding)
           select key, to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') from instant
           union all select key, floor(extract(epoch from span) * 1000)::bigint::text from span
           union all select '/directive/version', directive_version::text from runs where id = $1
           union all select '/counts/' || s, (select count(*) from job where status = s)::text
               from unnest('{success, failed, cancelled}'::text[]) s
           union all select '/tokens/prompt', sum(prompt_tokens)::text from job
           union all select '/tokens/completion', sum(completion_tokens)::text from job
           union all select '/tokens/total', sum(total_tokens)::text from llm_calls where run_id = $1
           union all select key || '/ordinal', ordinal::text from job
           union all select key || '/attempts', attempts::text from job
           union all select key || '/tokens/prompt', prompt_tokens::text from job
           union all select key || '/tokens/completion', completion_tokens::text from job
           union all select key || '/place/gpus/' || n || '/reserved_mib', reserved_mib::text from card
           union all select key || '/artifacts/' || n || '/size_bytes', size_bytes::text from file where n < 20
           union all select distinct key || '/artifacts_left_out', greatest(all_files - 20, 0)::text from file
           union all select '/usage/' || n || '/' || name, value
               from usage, jsonb_each_text(to_jsonb(usage) - 'n') as f (name, value)
           union all select '/findings/' || n || '/count', f ->> 'count' from finding
           union all select key || '/headline/entries', r ->> 'entries' from job where r ? 'entries'
           union all select key || '/headline/sources', r ->> 'sources_left_out' from job where r ? 'entries'
           union all select key || '/headline/errors',
               ((r #>> '{severities,fatal}')::int + (r #>> '{severities,error}')::int)::text from job where r ? 'entries'
           union all select key || '/headline/warnings', r #>> '{severities,warning}' from job where r ? 'entries'
           union all select key || '/headline/stack_traces', r #>> '{stack_traces,0,count}' from job where r ? 'entries'
           union all select key || '/headline/findings',
               (jsonb_array_length(r -> 'findings') + (r ->> 'findings_left_out')::int)::text from job where r ? 'entries'
           union all select '/findings/more', sum((r ->> 'findings_left_out')::int)::text from job where r ? 'entries'"#,
    )
    .bind(run.uuid())
    .fetch_all(&world.pool)
    .await
    .unwrap();
    rows.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
}

fn triage() -> JobResult {
    serde_json::from_value(json!({
        "kind": "log_triage", "window": null, "compared_with": null,
        "entries": 4_321, "lines": 5_000, "bytes": 70_000, "malformed_lines": 3, "cut_lines": 2,
        "severities": { "fatal": 2, "error": 31, "warning": 17, "info": 4_271, "debug": 0, "unstated": 0 },
        "sources": [], "sources_left_out": 6, "templates": [], "templates_left_out": 0, "untemplated_entries": 0,
        "stack_traces": [{ "id": "abc", "language": "python", "exception": "KeyError", "count": 13 }],
        "stack_traces_left_out": 0,
        "findings": [
            { "kind": "out_of_memory", "severity": "fatal", "novelty": "new", "host": "alpha", "container": "web",
              "count": 2, "first_seen": "2026-11-01T10:00:00.900Z", "last_seen": "2026-11-01T11:12:13Z", "subject": null },
            { "kind": "disk_full", "severity": "error", "novelty": "known", "host": "alpha", "container": "db",
              "count": 29, "first_seen": "2026-11-01T10:30:00Z", "last_seen": null, "subject": null },
        ],
        "findings_left_out": 5,
    }))
    .unwrap()
}

async fn finish(world: &World, taken: &Taken, outcome: Outcome, facts: Facts) {
    let mut tx = world.pool.begin().await.unwrap();
    let event = Event::Finish { fence: taken.fence, outcome };
    transition(&mut tx, Step { run_job: taken.run_job, event, facts }, &LAUNCHER).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_numbers_of_both_forms_are_those_of_the_rows() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576, 24_576]).await;
    let run = world
        .launch(json!({ "directive": "D1", "run_jobs": [
            { "job": "log_triage", "name": "logs" },
            { "job": "log_triage", "name": "cards", "gpu": { "policy": "require", "count": 2, "min_vram_mib": 4001 } },
            { "job": "log_triage", "name": "broken" },
        ] }))
        .await;
    world.admit(run).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 3);
    let taken = host.accept(10).await;
    host.start(&taken).await;
    let jobs = world.run_jobs(run).await;
    let of = |name: &str| {
        let job = jobs.iter().find(|job| job.name == name).unwrap();
        *taken.iter().find(|taken| taken.run_job == job.id).unwrap()
    };
    let (logs, cards, broken) = (of("logs"), of("cards"), of("broken"));
    let call = |taken: Taken, model: &str, prompt_tokens, completion_tokens| LlmCall {
        id: fresh(),
        run_job: taken.run_job,
        attempt: taken.attempt,
        endpoint: "local".into(),
        model: model.into(),
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        estimated: model == "small",
        duration_ms: 3,
        failure: None,
    };
    let calls =
        [call(logs, "llama", 1_000, 37), call(broken, "llama", 211, 5), call(broken, "small", 71, 11)];
    llm_calls::record(&mut world.pool.acquire().await.unwrap(), &calls).await.unwrap();
    sqlx::query(
        "insert into run_artifacts (id, run_id, run_job_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), run_id, id, host_id, 'data', id || '/out/file-' || n, n * n, sha256(''), 'text/csv'
         from run_jobs, generate_series(10, 10 + $2) n where id = $1",
    )
    .bind(logs.run_job.uuid())
    .bind(23)
    .execute(&world.pool)
    .await
    .unwrap();
    let result = Some(triage());
    finish(&world, &logs, Outcome::Success, Facts { result, ..Facts::default() }).await;
    finish(&world, &cards, Outcome::Success, Facts::default()).await;
    let detail = Some("the worker ended with exit code 3".to_owned());
    let failed = Outcome::Failed(FailureKind::NonzeroExit);
    finish(&world, &broken, failed, Facts { detail, ..Facts::default() }).await;
    assert_eq!(close(&world.pool, run).await.unwrap(), Closing::Closed(RunStatus::Failed));

    let json: Value = world.scalar("select report from runs where id = $1", run.uuid()).await;
    let markdown: String = world.scalar("select report_markdown from runs where id = $1", run.uuid()).await;
    read_back::hold(&markdown, &json);
    let (told, rows) = (read_back::told(&markdown), rows(&world, run).await);
    for key in [
        "/jobs/1/place/gpus/1/reserved_mib",
        "/findings/1/count",
        "/jobs/0/artifacts/19/size_bytes",
        "/usage/1/total",
    ] {
        assert!(rows.contains_key(key), "nothing to compare with {key}: {rows:#?}");
    }
    for (key, row) in &rows {
        if key.ends_with("_ms") {
            assert_eq!(json.pointer(key).map(Value::to_string).as_ref(), Some(row), "{key} in {json:#}");
        } else {
            assert!(
                told.get(key) == Some(row) || !told.contains_key(key) && row == "0",
                "{key} is {row} in {markdown}"
            );
        }
    }
    let unknown: Vec<&String> = told.keys().filter(|key| !rows.contains_key(*key)).collect();
    assert!(unknown.is_empty(), "no row says {unknown:?}:\n{markdown}");
}
