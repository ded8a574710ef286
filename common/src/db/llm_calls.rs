//! Calls to language models: counts, times and names; never a word of them.
//!
//! A call's row, and what it adds to its RunJob and its Run, are written in one statement. So the sums are those of the
//! rows at any time, also for a call that is written after its Run was closed.

use cyberbrain_core::{
    ids::{AttemptId, RunJobId},
    text_enum,
};
use uuid::Uuid;

use super::{Conn, Error};

text_enum! {
    /// Why a call failed.
    CallFailure("failure of a call to a language model") {
        /// Nobody listens at the endpoint's address.
        Unreachable = "unreachable",
        /// The endpoint's name leads to an address that is not local.
        AddressRefused = "address_refused",
        ConnectTimeout = "connect_timeout",
        /// There is no TLS with it that we trust: see its certificate.
        TlsFailed = "tls_failed",
        /// The head of the answer did not come in time.
        AnswerTimeout = "answer_timeout",
        /// The answer stood still.
        IdleTimeout = "idle_timeout",
        /// The connection broke before the answer was complete.
        Broken = "broken",
        /// The endpoint refused the request (4xx).
        Rejected = "rejected",
        /// The endpoint has too much to do (429).
        RateLimited = "rate_limited",
        /// The endpoint failed (5xx, or an answer that makes no sense).
        EndpointError = "endpoint_error",
        /// The worker went away before the answer was complete.
        WorkerGone = "worker_gone",
        /// The attempt ended before the answer was complete.
        AttemptEnded = "attempt_ended",
    }
}

/// One call that went to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmCall {
    pub id: Uuid,
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    /// Its name in the configuration.
    pub endpoint: String,
    /// The model's name for workers.
    pub model: String,
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
    pub total_tokens: u32,
    /// Whether the counts are ours, because the endpoint gave none.
    pub estimated: bool,
    pub duration_ms: u32,
    pub failure: Option<CallFailure>,
}

/// Writes calls, in the caller's transaction; those that are there already change nothing, and neither do those of a
/// RunJob that is gone.
///
/// # Errors
/// A database error.
pub async fn record(connection: &mut Conn, calls: &[LlmCall]) -> Result<(), Error> {
    let int = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let ids: Vec<Uuid> = calls.iter().map(|call| call.id).collect();
    let jobs: Vec<Uuid> = calls.iter().map(|call| call.run_job.uuid()).collect();
    let attempts: Vec<Uuid> = calls.iter().map(|call| call.attempt.uuid()).collect();
    let endpoints: Vec<String> = calls.iter().map(|call| call.endpoint.clone()).collect();
    let models: Vec<String> = calls.iter().map(|call| call.model.clone()).collect();
    let prompts: Vec<i32> = calls.iter().map(|call| int(call.prompt_tokens)).collect();
    let completions: Vec<i32> = calls.iter().map(|call| int(call.completion_tokens)).collect();
    let totals: Vec<i32> = calls.iter().map(|call| int(call.total_tokens)).collect();
    let estimated: Vec<bool> = calls.iter().map(|call| call.estimated).collect();
    let durations: Vec<i32> = calls.iter().map(|call| int(call.duration_ms)).collect();
    let failures: Vec<Option<String>> =
        calls.iter().map(|call| call.failure.map(|failure| failure.as_str().to_owned())).collect();
    // In the order of all locks: a close that runs beside this sums up either before us, and we add, or after us.
    sqlx::query!(
        "select id from runs where id in (select run_id from run_jobs where id = any($1))
         order by id for no key update",
        &jobs,
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!("select id from run_jobs where id = any($1) order by id for no key update", &jobs)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "with new as (
             insert into llm_calls (id, run_id, run_job_id, attempt_id, endpoint, model_id, prompt_tokens,
                 completion_tokens, total_tokens, estimated, duration_ms, success, error_class)
             select c.id, j.run_id, j.id, c.attempt, c.endpoint, c.model, c.prompt, c.completion, c.total, c.estimated,
                 c.duration, c.failure is null, c.failure
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::int[], $8::int[],
                     $9::bool[], $10::int[], $11::text[])
                 as c(id, job, attempt, endpoint, model, prompt, completion, total, estimated, duration, failure)
             join run_jobs j on j.id = c.job
             on conflict (id) do nothing
             returning run_id, run_job_id, prompt_tokens, completion_tokens),
         by_job as (
             update run_jobs j set prompt_tokens = j.prompt_tokens + s.prompt,
                 completion_tokens = j.completion_tokens + s.completion
             from (select run_job_id, sum(prompt_tokens) as prompt, sum(completion_tokens) as completion
                   from new group by run_job_id) s
             where j.id = s.run_job_id)
         update runs r set prompt_tokens = r.prompt_tokens + s.prompt,
             completion_tokens = r.completion_tokens + s.completion
         from (select run_id, sum(prompt_tokens) as prompt, sum(completion_tokens) as completion
               from new group by run_id) s
         where r.id = s.run_id",
        &ids,
        &jobs,
        &attempts,
        &endpoints,
        &models,
        &prompts,
        &completions,
        &totals,
        &estimated,
        &durations,
        &failures as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt whose worker may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAttempt {
    pub attempt: AttemptId,
    pub run_job: RunJobId,
    /// What its calls have used so far.
    pub tokens: u64,
}

/// Those of these attempts that somebody has accepted and that have not ended.
///
/// # Errors
/// A database error.
pub async fn open_attempts(connection: &mut Conn, attempts: &[AttemptId]) -> Result<Vec<OpenAttempt>, Error> {
    let ids: Vec<Uuid> = attempts.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select a.id, a.run_job_id, coalesce(
             (select sum(c.total_tokens) from llm_calls c where c.attempt_id = a.id), 0)::bigint as "tokens!"
           from attempts a where a.id = any($1) and a.state in ('accepted', 'starting', 'running', 'stopping')"#,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OpenAttempt {
            attempt: row.id.into(),
            run_job: row.run_job_id.into(),
            tokens: row.tokens.unsigned_abs(),
        })
        .collect())
}
