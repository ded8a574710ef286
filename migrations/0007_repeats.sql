-- Runs that repeat another one, and who waits for a decision.

alter table runs
    add column origin text constraint runs_origin_known check (origin in ('retry', 'clone')),
    -- The run that this one repeats.
    add column origin_run_id uuid references runs (id),
    add constraint runs_origin_whole check ((origin is null) = (origin_run_id is null));
-- Whether a run was retried; and what a removal of old runs has to look at.
create index runs_origin_run on runs (origin_run_id, origin) where origin_run_id is not null;

alter table run_approvals
    add constraint run_approvals_decided_by_size check (length(decided_by) between 1 and 255),
    add constraint run_approvals_reason_size check (length(reason) <= 500);
