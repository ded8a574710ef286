-- Which directory a file lies in: launchers of one host may have several, and each removes only what lies in its own.
-- An id, which a mark in the directory says; a path would be another one in each container.
alter table run_artifacts
    -- NULL: stored before directories had ids. The next launcher of the host takes it for its own.
    add column root_id uuid,
    -- core::retention::Cause; NULL for what was removed before causes were kept.
    add column removed_cause text
        constraint run_artifacts_cause_known check (removed_cause in ('age', 'bytes')),
    add constraint run_artifacts_removed_with_cause check (removed_cause is null or removed_at is not null);
-- What a host holds in a directory, oldest first, with its size; and what of it is still to be unlinked.
drop index run_artifacts_kept;
create index run_artifacts_kept on run_artifacts (host_id, root_id, created_at, id) include (size_bytes)
    where removed_at is null;
drop index run_artifacts_unpurged;
create index run_artifacts_unpurged on run_artifacts (host_id, root_id, id)
    where removed_at is not null and purged_at is null;
create index run_artifacts_rootless on run_artifacts (host_id) where root_id is null;
-- Whose file server has it. NULL: a launcher that does not say.
alter table launchers add column logs_root uuid;
