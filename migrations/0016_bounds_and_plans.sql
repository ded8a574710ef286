-- Indexes for what lists are asked for, so that none of them reads a table whole when it has grown.

create index runs_tags on runs using gin (tags);
create index runs_requested_by on runs (requested_by, created_at desc, id desc);
create index runs_directive_type on runs (directive_type, created_at desc, id desc);
-- Runs by their jobs: told by the index alone.
drop index run_jobs_run_status;
create index run_jobs_run_status on run_jobs (run_id, status) include (task_key);
-- Which leases lay in a span of time: for the report on GPUs.
create index gpu_leases_released on gpu_leases (released_at);

-- Every text has a bound. Those that clients and operators fill are told so before it comes to that; these hold whatever the
-- code believes. JSON may take eight times the bytes of its text: `1,` becomes twelve.
alter table directives
    add constraint directives_description_size check (length(description) <= 1000),
    add constraint directives_directive_text_size check (length(directive_text) <= 65536),
    add constraint directives_task_config_size check (pg_column_size(task_config) <= 8 * 65536),
    add constraint directives_task_list_size check (pg_column_size(task_list) <= 24 + 100 * (4 + 4 * 50));
alter table jobs
    add constraint jobs_aliases_size check (pg_column_size(aliases) <= 24 + 20 * (4 + 4 * 50)),
    add constraint jobs_name_size check (length(name) <= 200),
    add constraint jobs_description_size check (length(description) <= 1000),
    add constraint jobs_spec_size check (pg_column_size(spec) <= 8 * 2621440),
    add constraint jobs_config_size check (pg_column_size(config) <= 8 * 65536);
alter table worker_image_allowlist
    add constraint worker_image_allowlist_description_size check (length(description) <= 1000),
    add constraint worker_image_allowlist_pin_size check (length(pin) <= 400);
alter table container_allowlist
    add constraint container_allowlist_container_name_size check (length(container_name) <= 255),
    add constraint container_allowlist_host_size check (length(host) <= 63),
    add constraint container_allowlist_description_size check (length(description) <= 1000),
    add constraint container_allowlist_tags_size check (pg_column_size(tags) <= 24 + 32 * (4 + 4 * 64));

alter table hosts
    add constraint hosts_engine_id_size check (length(engine_id) <= 255),
    add constraint hosts_machine_id_size check (length(machine_id) <= 255),
    add constraint hosts_boot_id_size check (length(boot_id) <= 255),
    add constraint hosts_labels_size check (pg_column_size(labels) <= 8 * 65536);
alter table launchers
    add constraint launchers_version_size check (length(version) <= 64),
    add constraint launchers_files_url_size check (length(files_url) <= 2048),
    add constraint launchers_metrics_url_size check (length(metrics_url) <= 2048);
alter table host_images
    add constraint host_images_name_size check (length(name) <= 255),
    add constraint host_images_tag_size check (length(tag) <= 128),
    add constraint host_images_image_id_size check (length(image_id) <= 512);
alter table gpus
    add constraint gpus_uuid_size check (length(uuid) <= 255),
    add constraint gpus_model_size check (length(model) <= 255),
    add constraint gpus_health_reason_size check (length(health_reason) <= 500);
alter table leaders
    add constraint leaders_role_form check (role ~ '^[a-z][a-z0-9_]{0,63}$');

alter table runs
    add constraint runs_directive_name_size check (length(directive_name) <= 255),
    add constraint runs_directive_snapshot_size check (pg_column_size(directive_snapshot) <= 8 * 524288),
    add constraint runs_requested_by_size check (length(requested_by) <= 255),
    add constraint runs_tags_size check (pg_column_size(tags) <= 24 + 32 * (4 + 4 * 64)),
    add constraint runs_params_size check (pg_column_size(params) <= 8 * 262144),
    add constraint runs_report_markdown_size check (octet_length(report_markdown) <= 16777216),
    add constraint runs_report_size check (pg_column_size(report) <= 8 * 8388608);
alter table run_jobs
    add constraint run_jobs_task_key_form check (task_key ~ '^[a-z][a-z0-9_]{0,49}$'),
    add constraint run_jobs_spec_size check (pg_column_size(spec) <= 8 * 2621440),
    add constraint run_jobs_params_size check (pg_column_size(params) <= 8 * 262144),
    add constraint run_jobs_submitter_size check (length(submitter) <= 255),
    -- Bytes: with the submitter it is a key of an index.
    add constraint run_jobs_shape_size check (octet_length(shape) <= 2048),
    add constraint run_jobs_waiting_reason_form check (waiting_reason ~ '^[a-z][a-z0-9_]{0,63}$'),
    add constraint run_jobs_selection_reason_size check (length(selection_reason) <= 2000),
    add constraint run_jobs_result_size check (pg_column_size(result) <= 8 * 262144),
    add constraint run_jobs_progress_size check (pg_column_size(progress) <= 8 * 1024),
    -- The one text of a worker's in it.
    add constraint run_jobs_progress_stage_size check (length(progress ->> 'stage') <= 80),
    add constraint run_jobs_failure_form check (failure ~ '^[a-z][a-z0-9_]{0,63}$');
alter table attempts
    add constraint attempts_engine_id_size check (length(engine_id) <= 255),
    add constraint attempts_boot_id_size check (length(boot_id) <= 255),
    add constraint attempts_container_id_size check (length(container_id) <= 255),
    add constraint attempts_image_id_size check (length(image_id) <= 512),
    add constraint attempts_selection_reason_size check (length(selection_reason) <= 2000),
    add constraint attempts_failure_form check (failure ~ '^[a-z][a-z0-9_]{0,63}$');
-- Partitions take these over.
alter table worker_audit
    add constraint worker_audit_actor_size check (length(actor) <= 255),
    add constraint worker_audit_host_size check (length(host) <= 255),
    add constraint worker_audit_container_id_size check (length(container_id) <= 255),
    add constraint worker_audit_image_size check (length(image) <= 512),
    add constraint worker_audit_gpus_size check (pg_column_size(gpus) <= 24 + 64 * (4 + 4 * 255)),
    add constraint worker_audit_selection_reason_size check (length(selection_reason) <= 2000),
    add constraint worker_audit_config_snapshot_size check (pg_column_size(config_snapshot) <= 8 * 262144);

alter table run_artifacts
    add constraint run_artifacts_mime_type_size check (length(mime_type) <= 127);
alter table uploads
    add constraint uploads_name_size check (length(name) <= 255),
    add constraint uploads_path_size check (length(path) <= 255),
    add constraint uploads_mime_type_size check (length(mime_type) <= 127),
    add constraint uploads_uploaded_by_size check (length(uploaded_by) <= 255);
alter table container_inventory
    add constraint container_inventory_container_id_size check (length(container_id) <= 512),
    add constraint container_inventory_container_name_size check (length(container_name) <= 512),
    add constraint container_inventory_snapshot_size check (pg_column_size(snapshot) <= 8 * 262144);
alter table collection_cursors
    add constraint collection_cursors_task_key_form check (task_key ~ '^[a-z][a-z0-9_]{0,49}$'),
    add constraint collection_cursors_container_name_size check (length(container_name) <= 512);
alter table schedules
    add constraint schedules_name_size check (length(name) <= 255),
    add constraint schedules_cron_size check (length(cron) <= 255),
    add constraint schedules_timezone_size check (length(timezone) <= 64),
    add constraint schedules_created_by_size check (length(created_by) <= 255),
    add constraint schedules_request_size check (pg_column_size(request) <= 8 * 8388608);
alter table schedule_firings
    add constraint schedule_firings_skipped_size check (length(skipped) <= 500);
alter table api_keys
    add constraint api_keys_name_size check (length(name) <= 255);
alter table idempotency_keys
    add constraint idempotency_keys_principal_size check (length(principal) <= 255),
    add constraint idempotency_keys_route_size check (length(route) <= 255),
    add constraint idempotency_keys_fingerprint_size check (octet_length(fingerprint) <= 32);
