-- What people search the audit trail and the calls of models by.
create index worker_audit_actor on worker_audit (actor, at desc);
create index worker_audit_attempt on worker_audit (attempt_id, at desc) where attempt_id is not null;
create index worker_audit_host on worker_audit (host, at desc) where host is not null;
create index llm_calls_created on llm_calls (created_at);
create index api_keys_created on api_keys (created_at desc, id desc);
