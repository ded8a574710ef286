-- What the gateway writes is bounded and of a closed form, and is summed up by attempt for its budget.

alter table llm_calls
    add constraint llm_calls_endpoint_size check (length(endpoint) between 1 and 64),
    add constraint llm_calls_model_size check (length(model_id) between 1 and 200),
    add constraint llm_calls_duration_not_negative check (duration_ms >= 0),
    add constraint llm_calls_error_known check (error_class in (
        'unreachable', 'address_refused', 'connect_timeout', 'answer_timeout', 'idle_timeout', 'broken', 'rejected',
        'rate_limited', 'endpoint_error', 'worker_gone', 'attempt_ended')),
    add constraint llm_calls_failed_has_error check (success = (error_class is null));
create index llm_calls_attempt on llm_calls (attempt_id) include (total_tokens);
