-- Five months of work: a million runs of one job each, five records of the audit trail for each, one call of a model for each.
-- Rows are made as the code makes them, but for the checks of foreign keys, and indexes come after the rows.
set statement_timeout = 0;
set session_replication_role = replica;
set maintenance_work_mem = '512MB';

-- The months that upkeep would have prepared in its time.
do $$
declare
    start date;
    part text;
begin
    for n in 1..6 loop
        start := date_trunc('month', now() at time zone 'UTC') - make_interval(months => n);
        part := 'worker_audit_' || to_char(start, 'YYYY_MM');
        execute format('create table %I (like worker_audit including all)', part);
        execute format('alter table worker_audit attach partition %I for values from (%L) to (%L)', part,
            start::timestamp at time zone 'UTC', (start + interval '1 month') at time zone 'UTC');
        perform guard_audit_table(part::regclass);
    end loop;
end $$;

create temporary table later as
    select indexname, indexdef from pg_indexes i
    where schemaname = 'public' and tablename in ('runs', 'run_jobs', 'attempts', 'worker_audit', 'llm_calls')
      and not exists (select 1 from pg_constraint c where c.conname = i.indexname);
do $$
declare
    index record;
begin
    for index in select indexname from later loop
        execute format('drop index %I', index.indexname);
    end loop;
end $$;

insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, reconciled_at)
    select md5('host' || n)::uuid, 'engine-' || n, 'machine-' || n, 'host-' || n, 'boot', 'docker', 64000, 262144, now()
    from generate_series(0, 39) n;
insert into launchers (id, host_id, pid, version)
    select md5('launcher' || n)::uuid, md5('host' || n)::uuid, 7, '1' from generate_series(0, 39) n;
-- The newest hundred are open; the rest ended, mostly well.
insert into runs (id, status, directive_id, directive_type, directive_name, directive_version, directive_snapshot,
        requested_by, tags, created_at, admitted_at, started_at, finished_at)
    select md5('run' || n)::uuid,
        case when n < 50 then 'pending' when n < 100 then 'running' when n % 50 = 0 then 'cancelled'
            when n % 10 = 0 then 'failed' else 'success' end,
        null, (array['D1', 'D2', 'D4', 'D4'])[n % 4 + 1], 'directive ' || n % 50, 1, '{"text": "t"}', 'key:' || n % 100,
        case when n % 3 = 0 then array['nightly', 'tag-' || n % 1000, 'ticket-' || n] else '{}' end,
        at, case when n >= 25 then at end, case when n >= 50 then at end,
        case when n >= 100 then at + interval '10 seconds' end
    from (select n, now() - n * interval '13 seconds' as at from generate_series(0, 999999) n) r;
insert into run_jobs (id, run_id, ordinal, task_key, name, status, spec, submitter, shape, admitted, deadline_at, attempts,
        host_id, failure, result, created_at, started_at, finished_at)
    select md5('job' || n)::uuid, md5('run' || n)::uuid, 0,
        case when n % 10000 = 1 then 'rare_job' when n % 40 = 0 then 'broken_job' when n % 20 = 7 then 'gpu_report'
            else 'log_triage' end, 'j',
        case when n < 50 then 'pending' when n < 100 then 'running' when n % 50 = 0 then 'cancelled'
            when n % 10 = 0 then 'failed' else 'success' end,
        '{"timeouts": {"queue_seconds": 60, "host_lost_seconds": 300, "stop_grace_seconds": 10}, "on_host_lost": "replace"}',
        'key:' || n % 100, 'shape-' || n % 3, n >= 25,
        case when n < 100 then now() + n * interval '1 hour' end, case when n < 50 then 0 else 1 end,
        case when n >= 50 then md5('host' || n % 40)::uuid end,
        case when n >= 100 and n % 10 = 0 then case when n % 50 = 0 then 'cancelled' else 'nonzero_exit' end end,
        case when n >= 100 and n % 10 > 0 then '{"kind": "custom", "values": {"lines": 12}}'::jsonb end,
        at, case when n >= 50 then at end, case when n >= 100 then at + interval '10 seconds' end
    from (select n, now() - n * interval '13 seconds' as at from generate_series(0, 999999) n) r;
insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, launcher_id, state, cpu_millis, memory_mib,
        selection_reason, placement, deadline_at, offered_at, ended_at, released_at)
    select md5('attempt' || n)::uuid, md5('job' || n)::uuid, md5('run' || n)::uuid, 1, md5('host' || n % 40)::uuid, 'engine',
        md5('launcher' || n % 40)::uuid, case when n < 100 then 'running' else 'done' end, 1000, 512, 'the freest of four', 'cpu',
        case when n < 100 then now() + n * interval '1 hour' end, at, case when n >= 100 then at end,
        case when n >= 100 then at end
    from (select n, now() - n * interval '13 seconds' as at from generate_series(50, 999999) n) r;
insert into worker_audit (id, at, operation, actor, run_id, run_job_id, attempt_id, host, container_id, tx)
    select md5('audit' || n)::uuid, now() - n / 5 * interval '13 seconds' - n % 5 * interval '1 second',
        case when n % 100000 = 0 then 'lost' else (array['finish', 'start', 'spawn', 'accept', 'assign'])[n % 5 + 1] end,
        case when n % 1000 = 0 then 'key:boss' else 'system:launcher' end, md5('run' || n / 5)::uuid,
        md5('job' || n / 5)::uuid, md5('attempt' || n / 5)::uuid, 'host-' || n / 5 % 40, 'container-' || n / 5, 100
    from generate_series(0, 4999999) n;
insert into llm_calls (id, run_id, run_job_id, attempt_id, endpoint, model_id, prompt_tokens, completion_tokens, total_tokens,
        duration_ms, success, created_at)
    select md5('call' || n)::uuid, md5('run' || n)::uuid, md5('job' || n)::uuid, md5('attempt' || n)::uuid, 'local',
        'model-' || n % 10, 10, 5, 15, 100, true, now() - n * interval '13 seconds'
    from generate_series(0, 999999) n;

do $$
declare
    index record;
begin
    for index in select indexdef from later loop
        -- On the parent: its partitions follow.
        execute replace(index.indexdef, ' ON ONLY ', ' ON ');
    end loop;
end $$;
