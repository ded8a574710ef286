-- An installation that has worked for a month: tables so large that reading one whole is never the cheapest way.
insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, reconciled_at)
    select md5('host' || n)::uuid, 'engine-' || n, 'machine-' || n, 'host-' || n, 'boot', 'docker', 64000, 262144, now()
    from generate_series(0, 39) n;
insert into launchers (id, host_id, pid, version)
    select md5('launcher' || n)::uuid, md5('host' || n)::uuid, 7, '1' from generate_series(0, 39) n;
insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
    select 'GPU-' || n, md5('host' || n / 4)::uuid, n % 4, 'T', true, 24576, 24000 from generate_series(0, 159) n;
insert into gpu_observed (gpu_uuid) select uuid from gpus;
insert into gpu_samples (gpu_uuid, at, used_mib, reserved_mib, foreign_mib)
    select g.uuid, now() - n * interval '2 minutes', 1, 1, 0 from gpus g cross join generate_series(1, 300) n;
-- Directives and submitters of every rarity: the k-th takes part of the runs.
insert into directives (id, directive_type, name, version)
    select md5('directive' || n)::uuid, 'D4', 'directive ' || n, 1 from generate_series(0, 49) n;
-- The newest hundred are open.
insert into runs (id, status, directive_id, directive_type, directive_name, directive_version, directive_snapshot,
        requested_by, tags, created_at, admitted_at, started_at, finished_at)
    select md5('run' || n)::uuid,
        case when n < 50 then 'pending' when n < 100 then 'running' when n % 50 = 0 then 'cancelled'
            when n % 10 = 0 then 'failed' else 'success' end,
        md5('directive' || n % 50)::uuid, 'D4', 'directive ' || n % 50, 1, '{"text": "t"}', 'key:' || n % 100,
        case when n % 3 = 0 then array['nightly', 'tag-' || n % 1000] else '{}' end,
        now() - n * interval '1 minute', case when n >= 25 then now() end, case when n >= 50 then now() end,
        case when n >= 100 then now() - (n - 1) * interval '1 minute' end
    from generate_series(0, 39999) n;
update runs set origin = 'retry', origin_run_id = md5('run' || n + 10)::uuid
    from generate_series(100, 39900, 200) n where id = md5('run' || n)::uuid;
insert into run_jobs (id, run_id, ordinal, task_key, name, status, spec, submitter, shape, admitted, deadline_at, attempts,
        host_id, failure, created_at, started_at, finished_at)
    select md5('job' || n || '.' || k)::uuid, md5('run' || n)::uuid, k, case when n % 20 = 0 then 'gpu_report' else 'log_triage' end, 'j',
        case when n < 50 then 'pending' when n < 100 then 'running' when n % 50 = 0 then 'cancelled'
            when n % 10 = 0 then 'failed' else 'success' end,
        '{"timeouts": {"queue_seconds": 60, "host_lost_seconds": 300, "stop_grace_seconds": 10}, "on_host_lost": "replace"}',
        'key:' || n % 100, 'shape-' || n % 3, n >= 25,
        case when n < 100 then now() + n * interval '1 hour' end, case when n < 50 then 0 else 1 end,
        case when n >= 50 then md5('host' || n % 40)::uuid end,
        case when n >= 100 and n % 10 = 0 then 'exit_code' end, now() - n * interval '1 minute',
        case when n >= 50 then now() - n * interval '1 minute' end, case when n >= 100 then now() - (n - 1) * interval '1 minute' end
    from generate_series(0, 39999) n cross join generate_series(0, 1) k;
insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, launcher_id, state, cpu_millis, memory_mib,
        selection_reason, placement, deadline_at, offered_at, ended_at, released_at)
    select md5('attempt' || n || '.' || k)::uuid, md5('job' || n || '.' || k)::uuid, md5('run' || n)::uuid, 1,
        md5('host' || n % 40)::uuid, 'engine', case when n >= 60 then md5('launcher' || n % 40)::uuid end,
        case when n < 60 then 'offered' when n < 100 then 'running' else 'done' end, 1000, 512, 'r', 'gpu',
        case when n < 100 then now() + n * interval '1 hour' end, now() - n * interval '1 minute',
        case when n >= 100 then now() end, case when n >= 100 then now() end
    from generate_series(50, 39999) n cross join generate_series(0, 1) k;
insert into gpu_leases (attempt_id, gpu_uuid, reserved_mib, created_at, released_at)
    select md5('attempt' || n || '.' || k)::uuid, 'GPU-' || n % 40 * 4 + k, 1000, now() - n * interval '1 minute',
        case when n >= 100 then now() - (n - 1) * interval '1 minute' end
    from generate_series(50, 39999) n cross join generate_series(0, 1) k;
-- A part lies where no month was prepared.
insert into worker_audit (id, at, operation, actor, run_id, run_job_id, attempt_id, host, container_id, tx)
    select md5('audit' || n)::uuid, now() - n * interval '20 seconds',
        (array['submit', 'assign', 'accept', 'stage', 'spawn', 'start', 'finish', 'remove'])[n % 8 + 1],
        case when n % 1000 = 0 then 'key:boss' else 'launcher:' || n % 40 end, md5('run' || n / 4)::uuid, md5('job' || n / 4 || '.0')::uuid,
        md5('attempt' || n / 4 || '.0')::uuid, 'host-' || n / 4 % 40, 'c' || n / 4, 200000 - n
    from generate_series(0, 159999) n;
insert into llm_calls (id, run_id, run_job_id, attempt_id, endpoint, model_id, prompt_tokens, completion_tokens, total_tokens,
        duration_ms, success, created_at)
    select md5('call' || n)::uuid, md5('run' || n)::uuid, md5('job' || n || '.0')::uuid, md5('attempt' || n || '.0')::uuid, 'local',
        'model-' || n % 10, 10, 5, 15, 100, true, now() - n * interval '1 minute'
    from generate_series(50, 39999) n;
insert into run_artifacts (id, run_id, run_job_id, attempt_id, host_id, artifact_type, path, size_bytes, sha256, mime_type, created_at,
        root_id)
    select md5('artifact' || n || '.' || k)::uuid, md5('run' || n)::uuid, md5('job' || n || '.0')::uuid, md5('attempt' || n || '.0')::uuid,
        md5('host' || n % 40)::uuid, (array['log', 'report'])[k + 1], n || '/' || k, 1, sha256('x'), 'text/plain',
        now() - n * interval '1 minute', md5('root' || n % 40)::uuid
    from generate_series(100, 39999) n cross join generate_series(0, 1) k;
insert into container_inventory (id, host_id, container_id, container_name, snapshot, taken_at)
    select md5('inventory' || n || '.' || k)::uuid, md5('host' || n % 40)::uuid, 'container-' || n, 'web-' || n, '{}',
        now() - k * interval '1 hour'
    from generate_series(0, 399) n cross join generate_series(0, 99) k;
insert into uploads (id, name, path, size_bytes, sha256, mime_type, uploaded_by, created_at, used_at, root_id)
    select md5('upload' || n)::uuid, 'u', 'u' || n, 0, sha256('x'), 'text/plain', 'test', now() - n * interval '1 minute',
        now() - n * interval '1 minute', md5('root' || n % 20)::uuid
    from generate_series(0, 19999) n;
insert into idempotency_keys (principal, route, key, fingerprint, run_id, created_at)
    select 'key:' || n % 100, 'runs', 'k' || n, sha256('x'), md5('run' || n)::uuid, now() - n * interval '1 minute'
    from generate_series(0, 19999) n;
insert into api_keys (id, name, prefix, secret_sha256, scope)
    select md5('key' || n)::uuid, 'key ' || n, lpad(n::text, 8, '0'), sha256('x'), 'viewer' from generate_series(0, 9999) n;
insert into sessions (token_sha256, api_key_id, expires_at)
    select sha256(n::text::bytea), md5('key' || n)::uuid, now() + interval '1 hour' from generate_series(0, 9999) n;
