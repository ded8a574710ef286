-- One good row in every table, so that each constraint has something to refuse. Uuids end in the table's number.
insert into container_allowlist (container_id, container_name) values ('0123abcd', 'web');
insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib, max_attempts) values
    ('00000000-0000-0000-0000-000000000001', 'engine', 'machine', 'host-a', 'boot', 'docker', 8000, 16384, 2);
insert into launchers (id, host_id, pid, version) values
    ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 7, '1');
insert into host_images (host_id, name, tag, image_id) values
    ('00000000-0000-0000-0000-000000000001', 'worker', 'latest', 'sha256:0');
insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib) values
    ('GPU-0', '00000000-0000-0000-0000-000000000001', 0, 'T', true, 24576, 24000),
    ('GPU-1', '00000000-0000-0000-0000-000000000001', 1, 'T', true, 24576, 24000);
insert into gpu_observed (gpu_uuid) values ('GPU-0');
insert into gpu_samples (gpu_uuid, used_mib, reserved_mib, foreign_mib) values ('GPU-0', 1, 1, 0);
insert into gpu_xid_events (gpu_uuid, xid) values ('GPU-0', 79);
insert into leaders (role, holder, term) values ('scheduler', '00000000-0000-0000-0000-000000000002', 1);
insert into runs (id, directive_id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
    select '00000000-0000-0000-0000-000000000003', id, 'D1', name, 1, '{}', 'test' from directives
    where directive_type = 'D1';
update runs set origin = 'clone', origin_run_id = id;

insert into run_jobs (id, run_id, ordinal, job_id, task_key, name, spec, submitter, shape, deadline_at, host_id)
    select '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000003', 0, id, task_key, 'first',
        '{}', 'test', 's', now(), '00000000-0000-0000-0000-000000000001' from jobs where task_key = 'log_triage';
insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, deadline_at) values
    ('00000000-0000-0000-0000-000000000014', '00000000-0000-0000-0000-000000000003', 1, 'gpu_report', 'second', '{}',
        'test', 's', now());
insert into attempts (id, run_job_id, run_id, number, host_id, engine_id, launcher_id, state, cpu_millis, memory_mib,
        selection_reason, placement, deadline_at) values
    ('00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000004',
        '00000000-0000-0000-0000-000000000003', 1, '00000000-0000-0000-0000-000000000001', 'engine',
        '00000000-0000-0000-0000-000000000002', 'running', 1000, 512, 'only one', 'gpu', now());
insert into gpu_leases (attempt_id, gpu_uuid, reserved_mib) values
    ('00000000-0000-0000-0000-000000000005', 'GPU-0', 20000);
insert into worker_audit (id, operation, actor) values ('00000000-0000-0000-0000-000000000006', 'submit', 'test');
insert into worker_audit (id, at, operation, actor) values
    ('00000000-0000-0000-0000-000000000016', '2001-01-01', 'submit', 'test');
insert into llm_calls (id, run_id, run_job_id, attempt_id, endpoint, model_id, prompt_tokens, completion_tokens,
        total_tokens, duration_ms, success) values
    ('00000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000003',
        '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000005', 'local', 'm', 1, 1, 2, 5, true);
insert into uploads (id, name, path, size_bytes, sha256, mime_type, uploaded_by) values
    ('00000000-0000-0000-0000-000000000008', 'u', 'u', 0, decode(repeat('00', 32), 'hex'), 'text/plain', 'test');
insert into run_artifacts (id, run_id, run_job_id, attempt_id, host_id, artifact_type, path, size_bytes, sha256,
        mime_type) values
    ('00000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-000000000003',
        '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000005',
        '00000000-0000-0000-0000-000000000001', 'log', 'run/job..1/out.log', 0, decode(repeat('00', 32), 'hex'),
        'text/plain');
insert into container_inventory (id, host_id, container_id, container_name, snapshot, run_id) values
    ('00000000-0000-0000-0000-000000000010', '00000000-0000-0000-0000-000000000001', '0123abcd', 'web', '{}',
        '00000000-0000-0000-0000-000000000003');
insert into collection_cursors (task_key, host_id, container_name, collected_until, run_job_id) values
    ('log_triage', '00000000-0000-0000-0000-000000000001', 'web', now(), '00000000-0000-0000-0000-000000000004');
insert into schedules (id, name, kind, request, created_by) values
    ('00000000-0000-0000-0000-000000000011', 'nightly', 'one_shot', '{}', 'test');
insert into schedule_firings (schedule_id, due_at, run_id) values
    ('00000000-0000-0000-0000-000000000011', now(), '00000000-0000-0000-0000-000000000003');
insert into api_keys (id, name, prefix, secret_sha256, scope) values
    ('00000000-0000-0000-0000-000000000012', 'key', 'abcd1234', decode(repeat('00', 32), 'hex'), 'viewer');
insert into sessions (token_sha256, api_key_id, expires_at)
select sha256('session'), id, now() + interval '1 hour' from api_keys limit 1;
insert into idempotency_keys (principal, route, key, fingerprint, run_id) values
    ('test', 'runs', 'k', '', '00000000-0000-0000-0000-000000000003');
insert into run_approvals (run_id, decision, decided_by) values
    ('00000000-0000-0000-0000-000000000003', 'approved', 'test');
insert into queue_pauses (queue, paused_by) values ('runs', 'test');
insert into host_cleanups (id, host_id, requested_by, done_at, seen, removed, quarantined)
    select '00000000-0000-0000-0000-000000000021', id, 'test', now(), 1, 1, 0 from hosts limit 1;
