-- What an installation offers: its identity, directives, job templates and the two allowlists.

create table instance (
    singleton boolean primary key default true constraint instance_is_single check (singleton),
    id uuid not null,
    -- Key of the HMACs for worker and file tokens; never leaves the roles.
    secret bytea not null constraint instance_secret_size check (octet_length(secret) = 32),
    -- Where this row was made. A restored or cloned database differs here and gets a new identity.
    system_identifier bigint not null,
    database_oid bigint not null,
    created_at timestamptz not null default now()
);

create table directives (
    id uuid primary key,
    directive_type text not null
        constraint directives_type_known check (directive_type in ('D1', 'D2', 'D3', 'D4')),
    name text not null constraint directives_name_size check (length(name) between 1 and 255),
    version integer not null constraint directives_version_positive check (version >= 1),
    description text not null default '',
    -- Written by an operator; reaches workers as a file.
    directive_text text not null default '',
    task_config jsonb not null default '{}',
    -- Keys of the jobs it may run; empty means all.
    task_list text[] not null default '{}',
    approval_required boolean not null default false,
    -- NULL means no limit.
    max_concurrent_runs integer
        constraint directives_max_concurrent_runs_positive check (max_concurrent_runs > 0),
    active boolean not null default true,
    builtin boolean not null default false,
    created_at timestamptz not null default now(),
    -- Set when an edit made a newer version.
    superseded_at timestamptz,
    constraint directives_name_version_unique unique (name, version)
);
create unique index directives_current on directives (name) where superseded_at is null;
create index directives_type_active on directives (directive_type, active);
create index directives_created on directives (created_at);

create table jobs (
    id uuid primary key,
    task_key text not null constraint jobs_task_key_unique unique
        constraint jobs_task_key_form check (task_key ~ '^[a-z][a-z0-9_]{0,49}$'),
    -- Other names that a launch may use, e.g. task1.
    aliases text[] not null default '{}',
    name text not null,
    description text not null default '',
    scope text not null default 'one' constraint jobs_scope_known check (scope in ('one', 'per_host')),
    default_directive text not null default 'D4'
        constraint jobs_default_directive_known check (default_directive in ('D1', 'D2', 'D3', 'D4')),
    -- core::spec::JobSpec: image, command, env, resources, GPU request, time-outs, retry, network.
    spec jsonb not null,
    config jsonb not null default '{}',
    active boolean not null default true,
    builtin boolean not null default false,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index jobs_key_active on jobs (task_key, active);

create table worker_image_allowlist (
    id uuid primary key,
    name text not null constraint worker_images_name_size check (length(name) between 1 and 255),
    tag text not null constraint worker_images_tag_size check (length(tag) between 1 and 100),
    description text not null default '',
    -- What the engine must answer for this name: an image ID (sha256:…) or a registry digest (repo@sha256:…).
    -- NULL only for the built-in image, whose ID each launcher derives from its own executable.
    pin text,
    builtin boolean not null default false,
    requires_gpu boolean not null default false,
    min_vram_mib integer constraint worker_images_min_vram_positive check (min_vram_mib > 0),
    active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint worker_images_name_tag_unique unique (name, tag),
    constraint worker_images_pinned check (builtin or pin is not null)
);
create index worker_images_active on worker_image_allowlist (active, requires_gpu);

create table container_allowlist (
    container_id text primary key
        constraint container_allowlist_id_form check (container_id ~ '^[0-9A-Za-z][0-9A-Za-z_.-]{0,254}$'),
    -- A recreated container of this name stays covered.
    container_name text not null default '',
    -- Host name, or * for all.
    host text not null default '*',
    description text not null default '',
    tags text[] not null default '{}',
    enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index container_allowlist_enabled on container_allowlist (enabled, container_name);
create index container_allowlist_created on container_allowlist (created_at desc);
