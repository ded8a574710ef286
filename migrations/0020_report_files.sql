-- The report of a finished run is also a file under the logs root of one host. Null: not there yet. It is set without a file
-- where retention had begun to remove the run's files before.
alter table runs add column report_filed_at timestamptz;
update runs r set report_filed_at = now()
where report is not null
    and exists (select 1 from run_artifacts a where a.run_id = r.id and a.removed_at is not null);
create index runs_report_unfiled on runs (finished_at, id)
    where report is not null and report_markdown is not null and report_filed_at is null;
