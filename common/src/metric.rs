//! Names of all metrics, with their descriptions. Base units, `_total` on counters only, never an id as a label.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub const AUDIT_ROWS: &str = "cyberbrain_audit_rows_total";
pub const AUDIT_WRITE_FAILURES: &str = "cyberbrain_audit_write_failures_total";
pub const JOBS_SUBMITTED: &str = "cyberbrain_jobs_submitted_total";
pub const JOBS_FINISHED: &str = "cyberbrain_jobs_finished_total";
pub const JOB_RETRIES: &str = "cyberbrain_job_retries_total";
pub const JOB_QUEUE_WAIT: &str = "cyberbrain_job_queue_wait_seconds";
pub const JOB_START: &str = "cyberbrain_job_start_duration_seconds";
pub const JOB_RUN: &str = "cyberbrain_job_run_duration_seconds";
pub const QUEUE_DEPTH: &str = "cyberbrain_queue_depth";
pub const QUEUE_OLDEST: &str = "cyberbrain_queue_oldest_age_seconds";
pub const QUEUE_TASKS: &str = "cyberbrain_queue_tasks_total";
pub const QUEUE_TASK_DURATION: &str = "cyberbrain_queue_task_duration_seconds";
pub const QUEUE_CONSUMER_RESTARTS: &str = "cyberbrain_queue_consumer_restarts_total";
pub const RUNS_FINISHED: &str = "cyberbrain_runs_finished_total";
pub const SCHEDULER_CYCLE: &str = "cyberbrain_scheduler_cycle_duration_seconds";
pub const SCHEDULER_DECISIONS: &str = "cyberbrain_scheduler_decisions_total";
pub const SCHEDULER_UNPLACEABLE: &str = "cyberbrain_scheduler_unplaceable_jobs";
pub const SCHEDULER_CPU_FALLBACK: &str = "cyberbrain_scheduler_cpu_fallback_total";
pub const SCHEDULER_IS_LEADER: &str = "cyberbrain_scheduler_is_leader";
pub const SCHEDULER_DOUBLE_BOOKING: &str = "cyberbrain_scheduler_double_booking_total";
pub const SCHEDULER_HOST_REFUSALS: &str = "cyberbrain_scheduler_host_refusals_total";
pub const SCHEDULER_PASS_FAILURES: &str = "cyberbrain_scheduler_pass_failures_total";
pub const SCHEDULER_REASSIGNMENT_PAUSED: &str = "cyberbrain_scheduler_reassignment_paused";
pub const LAUNCHER_HEARTBEAT_AGE: &str = "cyberbrain_launcher_heartbeat_age_seconds";
pub const AUDIT_STRAYED_ROWS: &str = "cyberbrain_audit_strayed_rows";
pub const HTTP_REQUESTS: &str = "cyberbrain_http_requests_total";
pub const HTTP_DURATION: &str = "cyberbrain_http_request_duration_seconds";
pub const HTTP_LIMITED: &str = "cyberbrain_http_requests_limited_total";
pub const HTTP_IN_FLIGHT: &str = "cyberbrain_http_requests_in_flight";
pub const DOCKER_REQUEST_SECONDS: &str = "cyberbrain_docker_request_duration_seconds";
pub const DOCKER_REQUEST_ERRORS: &str = "cyberbrain_docker_request_errors_total";
pub const CONTAINERS_RUNNING: &str = "cyberbrain_containers_running";
pub const CONTAINERS_QUARANTINED: &str = "cyberbrain_containers_quarantined";
pub const CONTAINERS_ORPHANED_REMOVED: &str = "cyberbrain_containers_orphaned_removed_total";
pub const LAUNCHER_LAST_CONTACT: &str = "cyberbrain_launcher_last_contact_boot_seconds";
pub const LAUNCHER_CONTACT_FAILURES: &str = "cyberbrain_launcher_contact_failures_total";
pub const GUARD_SILENCE: &str = "cyberbrain_guard_silence_seconds";
pub const GUARD_STOPS: &str = "cyberbrain_guard_stops_total";
pub const GPU_TELEMETRY_UP: &str = "cyberbrain_gpu_telemetry_up";
pub const GPU_INFO: &str = "cyberbrain_gpu_info";
pub const GPU_MEMORY_TOTAL: &str = "cyberbrain_gpu_memory_total_bytes";
pub const GPU_MEMORY_USED: &str = "cyberbrain_gpu_memory_used_bytes";
pub const GPU_MEMORY_RESERVED: &str = "cyberbrain_gpu_memory_reserved_bytes";
pub const GPU_MEMORY_FOREIGN: &str = "cyberbrain_gpu_memory_foreign_bytes";
pub const GPU_UTILIZATION: &str = "cyberbrain_gpu_utilization_ratio";
pub const GPU_TEMPERATURE: &str = "cyberbrain_gpu_temperature_celsius";
pub const GPU_POWER: &str = "cyberbrain_gpu_power_watts";
pub const GPU_XID_ERRORS: &str = "cyberbrain_gpu_xid_errors_total";
pub const LLM_CALLS: &str = "cyberbrain_llm_calls_total";
pub const LLM_CALLS_OPEN: &str = "cyberbrain_llm_calls_open";
pub const LLM_TOKENS: &str = "cyberbrain_llm_tokens_total";
pub const LLM_CALL_DURATION: &str = "cyberbrain_llm_call_duration_seconds";
pub const LLM_FAILURES: &str = "cyberbrain_llm_endpoint_failures_total";
pub const LLM_REFUSALS: &str = "cyberbrain_llm_refusals_total";
pub const LLM_ROWS_LOST: &str = "cyberbrain_llm_rows_lost_total";
pub const FILES_REMOVED: &str = "cyberbrain_files_removed_total";
pub const FILES_REMOVED_BYTES: &str = "cyberbrain_files_removed_bytes_total";
pub const UPLOADS_REMOVED: &str = "cyberbrain_uploads_removed_total";
pub const UPLOADS_REMOVED_BYTES: &str = "cyberbrain_uploads_removed_bytes_total";
pub const BUILD_INFO: &str = "cyberbrain_build_info";

/// Buckets for waits, in seconds.
pub const WAIT_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0];
/// Buckets for the start of a container, in seconds.
pub const START_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Buckets for the run of a container, in seconds.
pub const RUN_BUCKETS: &[f64] =
    &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10800.0, 21600.0, 43200.0, 86400.0];

/// Registers unit and help of every metric.
pub fn describe() {
    describe_counter!(AUDIT_ROWS, "Audit rows written, by operation");
    describe_counter!(AUDIT_WRITE_FAILURES, "Audit rows that could not be written");
    describe_counter!(JOBS_SUBMITTED, "Run jobs accepted");
    describe_counter!(JOBS_FINISHED, "Run jobs that reached a terminal state, by outcome and reason class");
    describe_counter!(JOB_RETRIES, "Run jobs put back into the queue, by failure");
    describe_histogram!(JOB_QUEUE_WAIT, Unit::Seconds, "Wait of run jobs for a place");
    describe_histogram!(JOB_START, Unit::Seconds, "Start of worker containers, by phase");
    describe_histogram!(JOB_RUN, Unit::Seconds, "Run time of worker containers, by outcome");
    describe_gauge!(QUEUE_DEPTH, "Run jobs that have not ended, by state and priority");
    describe_gauge!(QUEUE_OLDEST, Unit::Seconds, "Wait of the run job that has waited longest for a place");
    describe_counter!(QUEUE_TASKS, "Tasks taken from a queue, by queue and outcome");
    describe_histogram!(QUEUE_TASK_DURATION, Unit::Seconds, "Run time of queue handlers, by queue");
    describe_counter!(QUEUE_CONSUMER_RESTARTS, "Queue workers replaced after a failure, by queue");
    describe_counter!(RUNS_FINISHED, "Runs that were closed, by outcome");
    describe_histogram!(SCHEDULER_CYCLE, Unit::Seconds, "Duration of placement cycles");
    describe_counter!(SCHEDULER_DECISIONS, "Placement decisions that were committed or failed, by result");
    describe_gauge!(SCHEDULER_UNPLACEABLE, "Run jobs that got no place in the last cycle, by reason");
    describe_counter!(
        SCHEDULER_CPU_FALLBACK,
        "CPU places for run jobs that would have used a GPU, by reason"
    );
    describe_gauge!(SCHEDULER_IS_LEADER, "1 while this scheduler leads");
    describe_counter!(SCHEDULER_DOUBLE_BOOKING, "GPUs found with more leased than they have; never rises");
    describe_counter!(SCHEDULER_HOST_REFUSALS, "Plans for a host that the ledger's constraints refused");
    describe_counter!(SCHEDULER_PASS_FAILURES, "Passes of a scheduler's loop that failed, by loop");
    describe_gauge!(
        SCHEDULER_REASSIGNMENT_PAUSED,
        "1 while too many hosts fell silent together to replace their work"
    );
    describe_gauge!(LAUNCHER_HEARTBEAT_AGE, Unit::Seconds, "Counted silence of each host's launchers");
    describe_gauge!(AUDIT_STRAYED_ROWS, "Audit rows outside the partitions of their month");
    describe_counter!(HTTP_LIMITED, "Requests refused because somebody asks too often, by why");
    describe_counter!(HTTP_REQUESTS, "HTTP requests answered, by method, route and status");
    describe_histogram!(
        HTTP_DURATION,
        Unit::Seconds,
        "Time until the answer to an HTTP request, by method and route"
    );
    describe_gauge!(HTTP_IN_FLIGHT, "HTTP requests being answered");
    describe_histogram!(DOCKER_REQUEST_SECONDS, Unit::Seconds, "Calls to the container engine, by operation");
    describe_counter!(DOCKER_REQUEST_ERRORS, "Failed calls to the container engine, by operation and error");
    describe_gauge!(CONTAINERS_RUNNING, "Worker containers that this launcher drives and that run");
    describe_gauge!(CONTAINERS_QUARANTINED, "Containers with our label that no attempt is known for");
    describe_counter!(CONTAINERS_ORPHANED_REMOVED, "Containers left behind by others that were removed");
    describe_gauge!(
        LAUNCHER_LAST_CONTACT,
        Unit::Seconds,
        "Boot-time clock when the last good contact was sent"
    );
    describe_counter!(LAUNCHER_CONTACT_FAILURES, "Contacts that the database did not answer");
    describe_gauge!(GUARD_SILENCE, Unit::Seconds, "How long this host has been out of contact");
    describe_counter!(GUARD_STOPS, "Workers stopped by the guard");
    describe_gauge!(GPU_TELEMETRY_UP, "1 while the GPU driver answers");
    describe_gauge!(GPU_INFO, "Always 1; model and origin are the labels");
    describe_gauge!(GPU_MEMORY_TOTAL, Unit::Bytes, "Memory of the GPU");
    describe_gauge!(GPU_MEMORY_USED, Unit::Bytes, "Memory in use by anyone");
    describe_gauge!(GPU_MEMORY_RESERVED, Unit::Bytes, "Memory reserved for workers");
    describe_gauge!(GPU_MEMORY_FOREIGN, Unit::Bytes, "Memory in use by nobody of ours");
    describe_gauge!(GPU_UTILIZATION, "Share of time in which the GPU was busy");
    describe_gauge!(GPU_TEMPERATURE, "Temperature of the GPU");
    describe_gauge!(GPU_POWER, "Power drawn by the GPU");
    describe_counter!(GPU_XID_ERRORS, "Critical errors that the driver reported, by XID");
    describe_counter!(LLM_CALLS, "Calls to language models, by endpoint, model and outcome");
    describe_gauge!(LLM_CALLS_OPEN, "Calls to language models that have not ended");
    describe_counter!(LLM_TOKENS, "Tokens of calls, by endpoint, model, kind and who counted them");
    describe_histogram!(
        LLM_CALL_DURATION,
        Unit::Seconds,
        "Calls to language models from admission to the end of the answer, by endpoint and model"
    );
    describe_counter!(LLM_FAILURES, "Endpoints that failed a call before an answer, by endpoint and failure");
    describe_counter!(LLM_REFUSALS, "Calls that the gateway refused itself, by reason");
    describe_counter!(LLM_ROWS_LOST, "Calls that are not on record");
    describe_counter!(FILES_REMOVED, "Files of ended runs that retention removed from a host's disk");
    describe_counter!(FILES_REMOVED_BYTES, Unit::Bytes, "Size of the files that retention removed");
    describe_counter!(UPLOADS_REMOVED, "Uploads that were removed from the disk, by cause");
    describe_counter!(UPLOADS_REMOVED_BYTES, Unit::Bytes, "Size of the uploads that were removed, by cause");
    describe_gauge!(BUILD_INFO, "Always 1; version and role are the labels");
}
