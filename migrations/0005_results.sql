-- What runs leave behind, what they may read, and who may ask for them.

create table llm_calls (
    id uuid primary key,
    run_id uuid not null references runs (id),
    run_job_id uuid not null references run_jobs (id),
    attempt_id uuid references attempts (id),
    endpoint text not null,
    model_id text not null,
    prompt_tokens integer not null constraint llm_calls_prompt_not_negative check (prompt_tokens >= 0),
    completion_tokens integer not null
        constraint llm_calls_completion_not_negative check (completion_tokens >= 0),
    total_tokens integer not null constraint llm_calls_total_not_negative check (total_tokens >= 0),
    -- True when the endpoint gave no usage and we counted ourselves.
    estimated boolean not null default false,
    duration_ms integer not null,
    success boolean not null,
    error_class text,
    created_at timestamptz not null default now()
);
create index llm_calls_run_job on llm_calls (run_job_id, created_at desc);
create index llm_calls_model on llm_calls (model_id, created_at desc);
create index llm_calls_endpoint on llm_calls (endpoint, created_at desc);

create table run_artifacts (
    id uuid primary key,
    run_id uuid not null references runs (id),
    run_job_id uuid references run_jobs (id),
    attempt_id uuid references attempts (id),
    host_id uuid references hosts (id),
    artifact_type text not null
        constraint run_artifacts_type_known check (artifact_type in ('log', 'report', 'data', 'other')),
    -- Relative to the logs root of its host.
    path text not null
        constraint run_artifacts_path_relative check (path !~ '^/' and path !~ '(^|/)\.\.(/|$)' and length(path) <= 512),
    size_bytes bigint not null constraint run_artifacts_size_not_negative check (size_bytes >= 0),
    sha256 bytea not null constraint run_artifacts_sha256_size check (octet_length(sha256) = 32),
    mime_type text not null,
    created_at timestamptz not null default now(),
    removed_at timestamptz,
    constraint run_artifacts_path_unique unique (host_id, path)
);
create index run_artifacts_run on run_artifacts (run_id, artifact_type);
create index run_artifacts_created on run_artifacts (created_at desc);

create table uploads (
    id uuid primary key,
    name text not null,
    path text not null,
    size_bytes bigint not null constraint uploads_size_not_negative check (size_bytes >= 0),
    sha256 bytea not null constraint uploads_sha256_size check (octet_length(sha256) = 32),
    mime_type text not null,
    uploaded_by text not null,
    created_at timestamptz not null default now()
);

create table container_inventory (
    id uuid primary key,
    host_id uuid not null references hosts (id),
    container_id text not null,
    container_name text not null,
    -- core::staging::ContainerSnapshot: state, image, networks, ports, mounts, labels. No environment values.
    snapshot jsonb not null,
    run_id uuid references runs (id),
    taken_at timestamptz not null default now()
);
create index container_inventory_container on container_inventory (container_id, taken_at desc);
create index container_inventory_name on container_inventory (container_name, taken_at desc);
create index container_inventory_taken on container_inventory (taken_at desc);
create index container_inventory_host on container_inventory (host_id, taken_at desc);

-- Up to when a container's log has been read by a successful job.
create table collection_cursors (
    task_key text not null,
    host_id uuid not null references hosts (id),
    container_name text not null,
    collected_until timestamptz not null,
    run_job_id uuid not null references run_jobs (id),
    primary key (task_key, host_id, container_name)
);

create table schedules (
    id uuid primary key,
    name text not null constraint schedules_name_unique unique,
    enabled boolean not null default true,
    kind text not null constraint schedules_kind_known check (kind in ('one_shot', 'interval', 'cron')),
    interval_seconds integer constraint schedules_interval_positive check (interval_seconds > 0),
    cron text,
    timezone text not null default 'UTC',
    -- The launch request that a firing makes.
    request jsonb not null,
    next_at timestamptz,
    last_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint schedules_kind_complete check (
        (kind = 'interval') = (interval_seconds is not null) and (kind = 'cron') = (cron is not null))
);
create index schedules_due on schedules (next_at) where enabled;

create table schedule_firings (
    schedule_id uuid not null references schedules (id),
    due_at timestamptz not null,
    run_id uuid references runs (id),
    skipped text,
    fired_at timestamptz not null default now(),
    primary key (schedule_id, due_at)
);

create table api_keys (
    id uuid primary key,
    name text not null constraint api_keys_name_unique unique,
    -- Shown in lists; finds the row.
    prefix text not null constraint api_keys_prefix_unique unique
        constraint api_keys_prefix_form check (prefix ~ '^[0-9a-z]{8}$'),
    -- SHA-256 of the secret part. The secret itself is shown once and kept nowhere.
    secret_sha256 bytea not null constraint api_keys_hash_size check (octet_length(secret_sha256) = 32),
    scope text not null constraint api_keys_scope_known check (scope in ('viewer', 'operator', 'admin')),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz not null default now()
);

create table idempotency_keys (
    principal text not null,
    route text not null,
    key text not null constraint idempotency_keys_size check (length(key) between 1 and 255),
    -- SHA-256 of the canonical request.
    fingerprint bytea not null,
    run_id uuid not null references runs (id),
    created_at timestamptz not null default now(),
    primary key (principal, route, key)
);
create index idempotency_keys_created on idempotency_keys (created_at);

create table run_approvals (
    run_id uuid primary key references runs (id),
    decision text not null constraint run_approvals_decision_known check (decision in ('approved', 'denied')),
    decided_by text not null,
    reason text not null default '',
    decided_at timestamptz not null default now()
);

create table queue_pauses (
    queue text primary key constraint queue_pauses_queue_known check (queue in ('runs', 'run_jobs', 'launch')),
    paused_by text not null,
    reason text not null default '',
    paused_at timestamptz not null default now()
);
