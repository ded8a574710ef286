-- Which unfinished run jobs read an upload: asked before it is deleted.
create index run_jobs_open_inputs on run_jobs using gin (inputs)
    where status in ('pending', 'assigned', 'running') and inputs <> '{}';

comment on column uploads.name is 'What the client called the file: text for people, never part of a path.';
comment on column uploads.path is 'Relative to the uploads root; made of the id alone.';
comment on column uploads.mime_type is 'What the client said it is; never believed.';
comment on column uploads.uploaded_by is 'Who it was, as in the audit trail.';
create index uploads_created on uploads (created_at desc, id desc);
