-- The audit trail: append-only, partitioned by month, no foreign keys so that it outlives what it speaks of.

create table worker_audit (
    id uuid not null,
    at timestamptz not null default now(),
    operation text not null constraint worker_audit_operation_known check (operation in (
        'submit', 'assign', 'fallback', 'refuse', 'accept', 'stage', 'spawn', 'start', 'stop', 'remove', 'error',
        'adopt', 'lost', 'retry', 'cancel', 'finish', 'change')),
    actor text not null,
    run_id uuid,
    run_job_id uuid,
    attempt_id uuid,
    host text,
    container_id text,
    image text,
    gpus text[] not null default '{}',
    selection_reason text,
    -- Names, limits and counts of the configuration in force; never values of environment variables or params.
    config_snapshot jsonb not null default '{}',
    success boolean not null default true,
    -- One sentence of ours.
    error text constraint worker_audit_error_size check (length(error) <= 1000),
    primary key (at, id)
) partition by range (at);
create table worker_audit_default partition of worker_audit default;
create index worker_audit_run_job on worker_audit (run_job_id, at desc);
create index worker_audit_run on worker_audit (run_id, at desc);
create index worker_audit_operation on worker_audit (operation, at desc);
create index worker_audit_container on worker_audit (container_id) where container_id is not null;

create function refuse_audit_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is append-only' using errcode = 'insufficient_privilege',
        constraint = 'worker_audit_append_only';
end $$;

create function guard_audit_table(target regclass) returns void language plpgsql as $$
begin
    execute format('create trigger audit_append_only before update or delete or truncate on %s '
        'for each statement execute function refuse_audit_change()', target);
end $$;
select guard_audit_table('worker_audit');
select guard_audit_table('worker_audit_default');

-- Makes the partitions of this month and the next `months` ones; safe to call at any time, by anyone. Rows that had to
-- go to the default partition move to where they belong: the one change that the trail allows.
create function ensure_audit_partitions(months integer) returns integer language plpgsql as $$
declare
    first date := date_trunc('month', now() at time zone 'UTC');
    made integer := 0;
    start date;
    lower timestamptz;
    upper timestamptz;
    part text;
begin
    perform pg_advisory_xact_lock(hashtext('ensure_audit_partitions'));
    for n in 0..months loop
        start := first + make_interval(months => n);
        lower := start::timestamp at time zone 'UTC';
        upper := (start + interval '1 month') at time zone 'UTC';
        part := 'worker_audit_' || to_char(start, 'YYYY_MM');
        if to_regclass(part) is null then
            execute format('create table %I (like worker_audit including all)', part);
            if exists (select 1 from worker_audit_default where at >= lower and at < upper) then
                alter table worker_audit_default disable trigger audit_append_only;
                execute format('with moved as (
                        delete from worker_audit_default where at >= %L and at < %L returning *)
                    insert into %I select * from moved', lower, upper, part);
                alter table worker_audit_default enable trigger audit_append_only;
            end if;
            execute format('alter table worker_audit attach partition %I for values from (%L) to (%L)', part,
                lower, upper);
            perform guard_audit_table(part::regclass);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;
select ensure_audit_partitions(3);
