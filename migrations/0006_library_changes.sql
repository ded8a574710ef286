-- What changes of the library need: names of jobs that no two jobs share, and versions that never come again.

-- A thing that was deleted and made anew must not have a version that somebody remembers.
create sequence library_versions as integer start 2;

-- Every key and alias of every job, kept by a trigger on jobs.
create table job_names (
    name text primary key
        constraint job_names_form check (name ~ '^[a-z][a-z0-9_]{0,49}$'),
    job_id uuid not null references jobs (id) on delete cascade
);
create index job_names_job on job_names (job_id);

create function name_job() returns trigger language plpgsql as $$
begin
    delete from job_names where job_id = new.id;
    insert into job_names (name, job_id) select unnest(array[new.task_key] || new.aliases), new.id;
    return null;
end $$;
create trigger jobs_name after insert or update of task_key, aliases on jobs
    for each row execute function name_job();
insert into job_names (name, job_id) select unnest(array[task_key] || aliases), id from jobs;

create index jobs_created on jobs (created_at, id);

alter table worker_image_allowlist add column version integer not null default 1;
alter table container_allowlist add column version integer not null default 1;
create index worker_images_created on worker_image_allowlist (created_at, id);
