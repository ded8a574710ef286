//! What models were used for: sums over the calls. Counts only; there is nothing else to sum.

use chrono::{DateTime, Utc};
use cyberbrain_core::text_enum;

use super::{Conn, Error};

text_enum! {
    /// What the sums are over.
    UsageBy("dimension of usage") {
        Run = "run",
        Directive = "directive",
        Job = "job",
        Model = "model",
        Endpoint = "endpoint",
        /// Of UTC.
        Day = "day",
    }
}

/// The sums of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Id of the run, name of the directive, key of the job, the model, the endpoint, or the day.
    pub key: String,
    pub calls: i64,
    pub failed_calls: i64,
    /// Calls whose counts we made ourselves, because the endpoint gave none.
    pub estimated_calls: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
}

/// Up to `limit` groups, those with the most tokens first; days in order.
///
/// # Errors
/// When the database can't be read.
pub async fn usage(
    connection: &mut Conn,
    by: UsageBy,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Usage>, Error> {
    let rows = sqlx::query!(
        // What is not in the calls is looked up for each group, not for each call.
        r#"select case $1 when 'directive' then (select directive_name from runs where id = c.id)
                 when 'job' then (select task_key from run_jobs where id = c.id)
                 else coalesce(c.id::text, c.word) end as "key!",
             sum(c.calls)::bigint as "calls!", sum(c.failed)::bigint as "failed!",
             sum(c.estimated)::bigint as "estimated!", sum(c.prompt)::bigint as "prompt!",
             sum(c.completion)::bigint as "completion!", sum(c.total)::bigint as "total!"
           from (
             select case $1 when 'run' then run_id when 'directive' then run_id when 'job' then run_job_id end as id,
                 case $1 when 'model' then model_id when 'endpoint' then endpoint
                     when 'day' then to_char(created_at at time zone 'UTC', 'YYYY-MM-DD') end as word,
                 count(*) as calls, count(*) filter (where not success) as failed,
                 count(*) filter (where estimated) as estimated, sum(prompt_tokens) as prompt,
                 sum(completion_tokens) as completion, sum(total_tokens) as total
             from llm_calls
             where ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
             group by 1, 2) c
           group by 1
           order by case when $1 = 'day' then 0 else sum(c.total) end desc, 1 limit $4"#,
        by.as_str(),
        from,
        to,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let usage = rows.into_iter().map(|row| Usage {
        key: row.key,
        calls: row.calls,
        failed_calls: row.failed,
        estimated_calls: row.estimated,
        prompt_tokens: row.prompt,
        completion_tokens: row.completion,
        total_tokens: row.total,
    });
    Ok(usage.collect())
}
