-- What people do to machines: forgetting a host, and asking for its containers to be looked through.

alter table hosts
    -- Not listed and not planned with any more; its history stays. A registration takes this back.
    add column forgotten_at timestamptz,
    add constraint hosts_cordon_reason_size check (length(cordon_reason) <= 500);
alter table gpus
    add constraint gpus_cordon_reason_size check (length(cordon_reason) <= 500);
alter table queue_pauses
    add constraint queue_pauses_paused_by_size check (length(paused_by) between 1 and 255),
    add constraint queue_pauses_reason_size check (length(reason) <= 500);

-- Requests to look through the containers of a host now, and what came of them.
create table host_cleanups (
    id uuid primary key,
    host_id uuid not null references hosts (id),
    requested_by text not null
        constraint host_cleanups_requested_by_size check (length(requested_by) between 1 and 255),
    requested_at timestamptz not null default now(),
    -- Set by the launcher that did it.
    done_at timestamptz,
    -- Containers of this installation that it saw, those that it removed, and those that it left alone although no
    -- attempt explains them.
    seen integer constraint host_cleanups_seen_not_negative check (seen >= 0),
    removed integer constraint host_cleanups_removed_not_negative check (removed >= 0),
    quarantined integer constraint host_cleanups_quarantined_not_negative check (quarantined >= 0),
    constraint host_cleanups_done_whole check ((done_at is null) = (seen is null)
        and (seen is null) = (removed is null) and (seen is null) = (quarantined is null))
);
-- One at a time for each host.
create unique index host_cleanups_one_open on host_cleanups (host_id) where done_at is null;
create index host_cleanups_newest on host_cleanups (host_id, requested_at desc);
