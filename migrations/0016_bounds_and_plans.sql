-- Indexes for what lists are asked for, so that none of them reads a table whole when it has grown.

create index runs_tags on runs using gin (tags);
create index runs_requested_by on runs (requested_by, created_at desc, id desc);
create index runs_directive_type on runs (directive_type, created_at desc, id desc);
-- Which leases lay in a span of time: for the report on GPUs.
create index gpu_leases_released on gpu_leases (released_at);
