-- Removing files in two steps: the row says first that a file is removed, then that it is gone from its host's disk.
-- Whoever is cut off in between is finished by the next pass.
alter table run_artifacts
    add column purged_at timestamptz,
    add constraint run_artifacts_removed_before_purged check (purged_at is null or removed_at is not null);
-- What a host holds, oldest first, with its size.
create index run_artifacts_kept on run_artifacts (host_id, created_at, id) include (size_bytes) where removed_at is null;
create index run_artifacts_unpurged on run_artifacts (host_id, id) where removed_at is not null and purged_at is null;
create index run_artifacts_attempt on run_artifacts (attempt_id) where removed_at is null;
