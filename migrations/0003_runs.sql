-- The work: runs, their jobs, the attempts to do them, and what the attempts hold.

create table runs (
    id uuid primary key,
    status text not null default 'pending'
        constraint runs_status_known check (status in ('pending', 'running', 'success', 'failed', 'cancelled')),
    -- Why a pending run is not admitted.
    hold text constraint runs_hold_known check (hold in ('awaiting_approval', 'max_concurrent_runs')),
    directive_id uuid references directives (id),
    directive_type text not null
        constraint runs_directive_type_known check (directive_type in ('D1', 'D2', 'D3', 'D4')),
    directive_name text not null,
    directive_version integer not null,
    -- The directive as it was at launch (core::run::DirectiveSnapshot); later edits don't change it.
    directive_snapshot jsonb not null,
    requested_by text not null,
    priority smallint not null default 0 constraint runs_priority_range check (priority between -100 and 100),
    tags text[] not null default '{}',
    -- Parameters of the launch, as given by the client; at most 256 KiB.
    params jsonb not null default '{}',
    cancel_requested_at timestamptz,
    prompt_tokens bigint not null default 0 constraint runs_prompt_tokens_not_negative check (prompt_tokens >= 0),
    completion_tokens bigint not null default 0
        constraint runs_completion_tokens_not_negative check (completion_tokens >= 0),
    -- Deterministic part only: counts, codes, times, redacted examples. Never model output.
    report_markdown text,
    report jsonb,
    created_at timestamptz not null default now(),
    admitted_at timestamptz,
    -- When the first of its jobs got a place.
    started_at timestamptz,
    finished_at timestamptz,
    -- A run has no deadline of its own: it has at least one job, and each unfinished job has one.
    constraint runs_ended_has_finish
        check ((status in ('success', 'failed', 'cancelled')) = (finished_at is not null))
);
create index runs_created on runs (created_at desc, id desc);
create index runs_status_created on runs (status, created_at desc, id desc);
create index runs_status_finished on runs (status, finished_at desc) where finished_at is not null;
create index runs_open on runs (created_at) where status in ('pending', 'running');
create index runs_directive on runs (directive_name, status);

create table run_jobs (
    id uuid primary key,
    run_id uuid not null references runs (id),
    ordinal integer not null,
    job_id uuid references jobs (id),
    task_key text not null,
    name text not null constraint run_jobs_name_size check (length(name) between 1 and 200),
    status text not null default 'pending' constraint run_jobs_status_known
        check (status in ('pending', 'assigned', 'running', 'success', 'failed', 'cancelled')),
    -- core::spec::JobSpec, frozen at launch.
    spec jsonb not null,
    -- Given by the client for this job; reaches the worker as a file.
    params jsonb not null default '{}',
    -- Ids of uploads that the worker may read.
    inputs uuid[] not null default '{}',
    priority smallint not null default 0 constraint run_jobs_priority_range check (priority between -100 and 100),
    submitter text not null,
    -- core::placement's key of what is asked for: equal keys are interchangeable for the scheduler.
    shape text not null,
    -- False until the run is admitted.
    admitted boolean not null default false,
    not_before timestamptz not null default now(),
    deadline_at timestamptz,
    attempts integer not null default 0 constraint run_jobs_attempts_not_negative check (attempts >= 0),
    user_failures integer not null default 0,
    infra_failures integer not null default 0,
    waiting_reason text,
    -- Where it runs or ran, and why there.
    host_id uuid references hosts (id),
    selection_reason text,
    cancel_requested_at timestamptz,
    -- core::outcome::JobResult: numbers, codes and short redacted texts.
    result jsonb,
    -- core::outcome::Progress.
    progress jsonb,
    failure text,
    -- One sentence of ours about the failure; never a worker's own words.
    failure_detail text constraint run_jobs_failure_detail_size check (length(failure_detail) <= 1000),
    prompt_tokens bigint not null default 0
        constraint run_jobs_prompt_tokens_not_negative check (prompt_tokens >= 0),
    completion_tokens bigint not null default 0
        constraint run_jobs_completion_tokens_not_negative check (completion_tokens >= 0),
    created_at timestamptz not null default now(),
    assigned_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    constraint run_jobs_run_ordinal_unique unique (run_id, ordinal),
    constraint run_jobs_open_has_deadline
        check (status in ('success', 'failed', 'cancelled') or deadline_at is not null),
    constraint run_jobs_ended_has_finish
        check ((status in ('success', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint run_jobs_failed_has_failure check (status not in ('failed', 'cancelled') or failure is not null)
);
create index run_jobs_run_status on run_jobs (run_id, status);
create index run_jobs_task_started on run_jobs (task_key, started_at desc);
create index run_jobs_task_success on run_jobs (task_key, host_id, finished_at desc) where status = 'success';
-- What a tick reads.
create index run_jobs_waiting on run_jobs (priority desc, submitter, shape, created_at, id)
    where status = 'pending' and admitted;
create index run_jobs_open_deadline on run_jobs (deadline_at) where status in ('pending', 'assigned', 'running');

create table attempts (
    id uuid primary key,
    run_job_id uuid not null references run_jobs (id),
    run_id uuid not null references runs (id),
    number integer not null constraint attempts_number_positive check (number >= 1),
    host_id uuid not null references hosts (id),
    engine_id text not null,
    -- The host's boot when the container was about to be made.
    boot_id text,
    -- NULL while offered, and while orphaned.
    launcher_id uuid references launchers (id),
    state text not null default 'offered' constraint attempts_state_known
        check (state in ('offered', 'accepted', 'starting', 'running', 'stopping', 'done', 'lost')),
    fence integer not null default 1 constraint attempts_fence_positive check (fence >= 1),
    cpu_millis integer not null constraint attempts_cpu_not_negative check (cpu_millis >= 0),
    memory_mib integer not null constraint attempts_memory_not_negative check (memory_mib >= 0),
    selection_reason text not null,
    -- 'gpu', 'cpu', or 'cpu_fallback'.
    placement text not null
        constraint attempts_placement_known check (placement in ('gpu', 'cpu', 'cpu_fallback')),
    container_id text,
    image_id text,
    stop_reason text constraint attempts_stop_reason_known
        check (stop_reason in ('cancel', 'timeout_run', 'log_quota', 'launcher_stopping')),
    exit_code integer,
    failure text,
    failure_detail text constraint attempts_failure_detail_size check (length(failure_detail) <= 1000),
    -- When the scheduler acts if the state has not moved on.
    deadline_at timestamptz,
    offered_at timestamptz not null default now(),
    accepted_at timestamptz,
    starting_at timestamptz,
    running_at timestamptz,
    stopping_at timestamptz,
    ended_at timestamptz,
    -- When CPU, memory and GPUs were given back: only after the container is confirmed gone.
    released_at timestamptz,
    constraint attempts_number_unique unique (run_job_id, number),
    constraint attempts_open_has_deadline check (state in ('done', 'lost') or deadline_at is not null),
    constraint attempts_ended_has_time check ((state in ('done', 'lost')) = (ended_at is not null)),
    constraint attempts_owned
        check (state not in ('offered') or launcher_id is null)
);
create unique index attempts_one_open on attempts (run_job_id) where state not in ('done', 'lost');
create index attempts_host_open on attempts (host_id, state) where state not in ('done', 'lost');
create index attempts_host_unreleased on attempts (host_id) where released_at is null;
create index attempts_deadline on attempts (deadline_at) where state not in ('done', 'lost');
create index attempts_launcher_open on attempts (launcher_id) where state not in ('done', 'lost');

create table gpu_leases (
    attempt_id uuid not null references attempts (id),
    gpu_uuid text not null references gpus (uuid),
    reserved_mib integer not null constraint gpu_leases_reserve_something check (reserved_mib > 0),
    -- Taken while the host's row is locked, not at the start of the transaction: so that the recorded spans of two
    -- leases overlap exactly if the leases did.
    created_at timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    primary key (attempt_id, gpu_uuid)
);
create index gpu_leases_live on gpu_leases (gpu_uuid) where released_at is null;

-- The ledgers follow the leases in the same statement, so that the CHECKs on hosts and gpus refuse what is too much.
create function book_gpu_lease() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.released_at is null then
            update gpus set reserved_mib = reserved_mib + new.reserved_mib where uuid = new.gpu_uuid;
        end if;
    elsif tg_op = 'DELETE' then
        if old.released_at is null then
            update gpus set reserved_mib = reserved_mib - old.reserved_mib where uuid = old.gpu_uuid;
        end if;
    else
        if new.gpu_uuid <> old.gpu_uuid or new.reserved_mib <> old.reserved_mib
            or (old.released_at is not null and new.released_at is null) then
            raise exception 'a GPU lease can only be released' using errcode = 'check_violation',
                constraint = 'gpu_leases_only_released';
        end if;
        if old.released_at is null and new.released_at is not null then
            update gpus set reserved_mib = reserved_mib - old.reserved_mib where uuid = old.gpu_uuid;
        end if;
    end if;
    return null;
end $$;
create trigger gpu_leases_book after insert or update or delete on gpu_leases
    for each row execute function book_gpu_lease();

create function book_attempt() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.released_at is null then
            update hosts set reserved_cpu_millis = reserved_cpu_millis + new.cpu_millis,
                reserved_memory_mib = reserved_memory_mib + new.memory_mib,
                open_attempts = open_attempts + 1
            where id = new.host_id;
        end if;
    elsif new.host_id <> old.host_id or new.cpu_millis <> old.cpu_millis or new.memory_mib <> old.memory_mib
        or (old.released_at is not null and new.released_at is null) then
        raise exception 'an attempt keeps its host and its booking' using errcode = 'check_violation',
            constraint = 'attempts_only_released';
    elsif old.released_at is null and new.released_at is not null then
        update hosts set reserved_cpu_millis = reserved_cpu_millis - old.cpu_millis,
            reserved_memory_mib = reserved_memory_mib - old.memory_mib,
            open_attempts = open_attempts - 1
        where id = old.host_id;
    end if;
    return null;
end $$;
create trigger attempts_book after insert or update of host_id, cpu_millis, memory_mib, released_at on attempts
    for each row execute function book_attempt();
