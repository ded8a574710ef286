-- An endpoint behind https can also fail by its certificate.
alter table llm_calls
    drop constraint llm_calls_error_known,
    add constraint llm_calls_error_known check (error_class in (
        'unreachable', 'address_refused', 'connect_timeout', 'tls_failed', 'answer_timeout', 'idle_timeout', 'broken',
        'rejected', 'rate_limited', 'endpoint_error', 'worker_gone', 'attempt_ended'));
