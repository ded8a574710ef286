-- The machines: hosts, launcher processes, GPUs, and the ledgers that refuse to be overbooked.

create table hosts (
    id uuid primary key,
    -- One engine on one machine.
    engine_id text not null,
    machine_id text not null,
    name text not null constraint hosts_name_unique unique
        constraint hosts_name_form check (name ~ '^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$'),
    boot_id text not null,
    runtime text not null constraint hosts_runtime_known check (runtime in ('docker', 'process', 'simulated')),
    labels jsonb not null default '{}',
    cpu_millis integer not null constraint hosts_cpu_not_negative check (cpu_millis >= 0),
    memory_mib integer not null constraint hosts_memory_not_negative check (memory_mib >= 0),
    -- The ledger, kept by triggers on attempts.
    reserved_cpu_millis integer not null default 0,
    reserved_memory_mib integer not null default 0,
    open_attempts integer not null default 0,
    max_attempts integer not null default 64 constraint hosts_max_attempts_positive check (max_attempts > 0),
    -- What the scheduler counted: see core::watch.
    presence text not null default 'live'
        constraint hosts_presence_known check (presence in ('live', 'silent', 'lost')),
    cordoned boolean not null default false,
    cordon_reason text,
    draining boolean not null default false,
    -- Whether the host's guard answered at the last contact.
    guarded boolean not null default false,
    -- Set by the first full reconcile after a registration or a return; no new work before.
    reconciled_at timestamptz,
    registered_at timestamptz not null default now(),
    -- For people only; decides nothing.
    last_contact_at timestamptz not null default now(),
    constraint hosts_identity_unique unique (engine_id, machine_id),
    constraint hosts_cpu_booked check (reserved_cpu_millis between 0 and cpu_millis),
    constraint hosts_memory_booked check (reserved_memory_mib between 0 and memory_mib),
    constraint hosts_attempts_booked check (open_attempts between 0 and max_attempts)
);

create table launchers (
    -- One process incarnation; a restart is a new one.
    id uuid primary key,
    host_id uuid not null references hosts (id),
    pid integer not null,
    version text not null,
    contact bigint not null default 0,
    state text not null default 'live' constraint launchers_state_known check (state in ('live', 'silent', 'ended')),
    -- Where the api fetches files of this host, and where Prometheus scrapes.
    files_url text,
    metrics_url text,
    started_at timestamptz not null default now(),
    last_contact_at timestamptz not null default now()
) with (fillfactor = 50);
create index launchers_live on launchers (host_id) where state = 'live';

create table host_images (
    host_id uuid not null references hosts (id) on delete cascade,
    name text not null,
    tag text not null,
    image_id text not null,
    seen_at timestamptz not null default now(),
    primary key (host_id, name, tag)
);

create table gpus (
    uuid text primary key,
    host_id uuid not null references hosts (id),
    index integer not null constraint gpus_index_not_negative check (index >= 0),
    model text not null,
    simulated boolean not null,
    total_mib integer not null constraint gpus_total_not_negative check (total_mib >= 0),
    -- Total minus what the driver keeps for itself.
    allocatable_mib integer not null,
    -- The ledger, kept by triggers on gpu_leases.
    reserved_mib integer not null default 0,
    health text not null default 'healthy'
        constraint gpus_health_known check (health in ('healthy', 'unhealthy', 'gone')),
    health_reason text,
    cordoned boolean not null default false,
    cordon_reason text,
    registered_at timestamptz not null default now(),
    constraint gpus_host_index_unique unique (host_id, index),
    constraint gpus_allocatable_within check (allocatable_mib between 0 and total_mib),
    constraint gpus_not_overbooked check (reserved_mib between 0 and allocatable_mib)
);

-- Telemetry beside the ledger, so that it neither locks nor bloats it.
create table gpu_observed (
    gpu_uuid text primary key references gpus (uuid) on delete cascade,
    -- Rises with each good sample; standing still means stale.
    sample_seq bigint not null default 0,
    used_mib integer not null default 0,
    -- Seen beyond the reservations of our own containers.
    overshoot_mib integer not null default 0,
    foreign_mib integer not null default 0,
    -- NULL: the card does not say.
    utilization_percent smallint
        constraint gpu_observed_utilization_range check (utilization_percent between 0 and 100),
    temperature_celsius smallint,
    power_milliwatts integer,
    observed_at timestamptz not null default now()
) with (fillfactor = 50);

-- One row per GPU and ten seconds, kept for a day.
create table gpu_samples (
    gpu_uuid text not null references gpus (uuid) on delete cascade,
    at timestamptz not null default now(),
    used_mib integer not null,
    reserved_mib integer not null,
    foreign_mib integer not null,
    utilization_percent smallint,
    temperature_celsius smallint,
    primary key (gpu_uuid, at)
);

-- One row per role that has a leader; the standby watches the counter stand still.
create table leaders (
    role text primary key,
    holder uuid not null,
    term bigint not null constraint leaders_term_positive check (term >= 1),
    counter bigint not null default 0,
    since timestamptz not null default now()
) with (fillfactor = 50);
