-- What a GPU report needs to know of throttling and errors.

alter table gpu_samples
    -- Bits of the driver (nvmlClocksThrottleReason…): what held the clocks down. NULL: the card does not say.
    add column throttle_reasons smallint,
    -- Memory errors since the driver was loaded. NULL: no ECC.
    add column ecc_corrected bigint constraint gpu_samples_corrected_not_negative check (ecc_corrected >= 0),
    add column ecc_uncorrected bigint constraint gpu_samples_uncorrected_not_negative check (ecc_uncorrected >= 0);

-- Critical errors as the driver tells them, kept for a day like samples, and at most 1,000 per GPU.
create table gpu_xid_events (
    id bigint generated always as identity primary key,
    gpu_uuid text not null references gpus (uuid) on delete cascade,
    at timestamptz not null default now(),
    xid integer not null constraint gpu_xid_events_number_not_negative check (xid >= 0)
);

create index gpu_xid_events_by_gpu on gpu_xid_events (gpu_uuid, at);
