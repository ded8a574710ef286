-- Uploads go as artifacts do: the row says first that the file is removed, then that it is gone from the disk.
alter table uploads
    -- Which directory it lies in; NULL: stored before directories had ids.
    add column root_id uuid,
    -- When a run was last launched with it, to the hour; its age is counted from here.
    add column used_at timestamptz not null default now(),
    add column removed_at timestamptz,
    -- Who it was, as in the audit trail.
    add column removed_by text constraint uploads_removed_by_size check (length(removed_by) <= 255),
    -- core::retention::Cause; NULL: somebody deleted it.
    add column removed_cause text constraint uploads_cause_known check (removed_cause in ('age', 'bytes')),
    add column purged_at timestamptz,
    add constraint uploads_removed_by_somebody check ((removed_at is null) = (removed_by is null)),
    add constraint uploads_removed_with_cause check (removed_cause is null or removed_at is not null),
    add constraint uploads_removed_before_purged check (purged_at is null or removed_at is not null);
drop index uploads_created;
create index uploads_created on uploads (created_at desc, id desc) where removed_at is null;
create index uploads_kept on uploads (root_id, used_at, id) include (size_bytes) where removed_at is null;
create index uploads_unpurged on uploads (root_id, id) where removed_at is not null and purged_at is null;
create index uploads_rootless on uploads (id) where root_id is null;
