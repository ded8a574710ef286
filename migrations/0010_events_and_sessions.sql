-- The order in which the audit trail is shown as it grows: by transaction. Neither time nor id has it, since a long transaction
-- commits rows that are older than those that readers have seen. Once every transaction before one has ended, nothing can
-- come in before it any more; so readers stay below the oldest that is open, and their place is (tx, id).

-- Rows from before this migration are older than all others. A constant default rewrites no table.
alter table worker_audit add column tx bigint not null default 0;
alter table worker_audit alter column tx set default pg_current_xact_id()::text::bigint;
create index worker_audit_tx on worker_audit (tx, id);
create index worker_audit_run_tx on worker_audit (run_id, tx, id);

-- A database that was restored elsewhere brings rows of transactions that this server has not reached yet: they would come
-- after all that is written from now on. They become as old as they are. The second change that the trail allows.
create function settle_audit_transactions() returns integer language plpgsql as $$
declare
    upper bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    part regclass;
    found integer := 0;
    settled integer;
begin
    for part in select relid from pg_partition_tree('worker_audit') where isleaf loop
        execute format('select count(*) from (select from %s where tx >= $1 limit 1) any_row', part)
            into settled using upper;
        continue when settled = 0;
        execute format('alter table %s disable trigger audit_append_only', part);
        execute format('update %s set tx = 0 where tx >= $1', part) using upper;
        get diagnostics settled = row_count;
        execute format('alter table %s enable trigger audit_append_only', part);
        found := found + settled;
    end loop;
    return found;
end $$;

-- Sessions of the pages: a browser that has shown a key. One ends when it is old enough, when its holder leaves, and with its key.
create table sessions (
    -- Of 32 random bytes that only the browser has.
    token_sha256 bytea primary key constraint sessions_token_size check (octet_length(token_sha256) = 32),
    api_key_id uuid not null references api_keys (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_api_key on sessions (api_key_id, created_at);
create index sessions_expiry on sessions (expires_at);
