//! Tools about runs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cyberbrain_common::{
    approve::{Decided, DecisionRequest, REASON_CHARACTERS, decide},
    cancel::{RunCancel, cancel_run},
    db::{admission::Approval, runs as stored},
    launch::{self, IdempotencyKey, LaunchRequest, Once, describe::optional_line},
};
use cyberbrain_core::{
    ids::{RunId, RunJobId},
    lifecycle::RunStatus,
};
use rmcp::model::JsonObject;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    super::tasks::{self, Tasks},
    Call, Reply, page, parse, wrong,
};
use crate::{
    handlers::{
        run_jobs,
        runs::{self, Begin, MOST_PER_PAGE, PER_PAGE},
    },
    openapi::{Schemas, of},
    problem::{Kind, Problem},
    views::{ReportJson, ReportView, RunView},
};

/// What an idempotency key belongs to, together with the caller.
const ROUTE: &str = "mcp launch_run";
/// Longest `wait_seconds`.
const LONGEST_WAIT_SECONDS: u32 = 600;
/// Between two looks at a run that is waited for.
const LOOK: Duration = Duration::from_millis(500);

/// Which run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunReference {
    /// Id of the run, as launch_run and list_runs give it.
    id: RunId,
}

/// Which run job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunJobReference {
    /// Id of the run job, as get_run lists it.
    id: RunJobId,
}

/// Which runs; what is left out does not filter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRuns {
    #[serde(default)]
    status: Option<RunStatus>,
    /// Key of a job that the run holds.
    #[serde(default)]
    job: Option<String>,
    /// Type (D1) or name of the directive.
    #[serde(default)]
    directive: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    /// Name of the key that launched it.
    #[serde(default)]
    requested_by: Option<String>,
    /// Inclusive.
    #[serde(default)]
    created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    #[serde(default)]
    created_before: Option<DateTime<Utc>>,
    /// Only runs created after the last successful run finished; with job, the last one that holds that job.
    #[serde(default)]
    since_last_success: bool,
    /// Runs of a page at most; 50 without it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// next_cursor of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// The launch request of REST with two more arguments.
pub(crate) fn launch_input(schemas: &mut Schemas) -> RefOr<Schema> {
    let reference = of::<LaunchRequest>(schemas);
    let Some(RefOr::T(Schema::Object(mut request))) = schemas.take(&LaunchRequest::name()) else {
        return reference;
    };
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .description(Some("The same key with the same request within 24 hours gives the same run."));
    let wait = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0_i64))
        .maximum(Some(i64::from(LONGEST_WAIT_SECONDS)))
        .description(Some("How long to wait for the run's end, with progress meanwhile; 0 without it. To a client that declares tasks \
             the launch is a task, unless this is 0."));
    request.properties.insert("idempotency_key".into(), Schema::Object(key.build()).into());
    request.properties.insert("wait_seconds".into(), Schema::Object(wait.build()).into());
    Schema::Object(request).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchOptions {
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    wait_seconds: Option<u32>,
}

pub(crate) async fn launch(call: &Call<'_>, mut arguments: JsonObject) -> Result<Reply, Problem> {
    let options = ["idempotency_key", "wait_seconds"];
    let options: JsonObject =
        options.into_iter().filter_map(|name| Some((name.to_owned(), arguments.remove(name)?))).collect();
    let options: LaunchOptions = parse(options)?;
    let wait = options.wait_seconds.unwrap_or(0);
    if wait > LONGEST_WAIT_SECONDS {
        return Err(wrong("/wait_seconds", &format!("it is between 0 and {LONGEST_WAIT_SECONDS}")));
    }
    let key = options.idempotency_key.map(|text| text.parse::<IdempotencyKey>()).transpose();
    let key = key.map_err(|error| wrong("/idempotency_key", &error.to_string()))?;
    let once = key.map(|key| Once { route: ROUTE, key });
    let request: LaunchRequest = parse(arguments)?;
    let launched = {
        let mut connection = call.app.connection().await?;
        launch::launch_on(&mut connection, &request, &call.caller.actor(), once.as_ref()).await?
    };
    let as_task = call.tasks == Tasks::Understood && options.wait_seconds != Some(0);
    let run = if wait == 0 || as_task {
        runs::read(&mut *call.app.connection().await?, launched.run).await?
    } else {
        ended(call, launched.run, Duration::from_secs(wait.into())).await?
    };
    let reply = Reply::new(&run, said(&run))?;
    Ok(if as_task { Reply { task: Some(Box::new(tasks::created(&run))), ..reply } } else { reply })
}

/// The run as it is at its end, or when the time is up or the client is gone.
async fn ended(call: &Call<'_>, id: RunId, limit: Duration) -> Result<RunView, Problem> {
    let until = Instant::now() + limit;
    let mut told = None;
    loop {
        let run = runs::read(&mut *call.app.connection().await?, id).await?;
        let (done, all) = run.jobs_ended();
        if told != Some(done) {
            call.tell(
                done as f64,
                all as f64,
                format!("{}: {done} of {all} run jobs have ended", run.status()),
            )
            .await;
            told = Some(done);
        }
        if run.status().is_terminal() || Instant::now() >= until {
            return Ok(run);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(until - Instant::now())) => {}
            () = call.cancelled.cancelled() => return Ok(run),
        }
    }
}

pub(crate) fn said(run: &RunView) -> String {
    let (done, all) = run.jobs_ended();
    let next = if run.status().is_terminal() {
        "get_run_report has its report"
    } else {
        "get_run tells how it goes on"
    };
    format!("Run {} is {}: {done} of {all} run jobs have ended; {next}.", run.id(), run.status())
}

pub(crate) async fn list(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let wanted: ListRuns = parse(arguments)?;
    let (bounds, cursor) = ((MOST_PER_PAGE, PER_PAGE), wanted.cursor.as_deref());
    let (limit, begin) = if wanted.since_last_success {
        let (limit, cursor) = page(wanted.limit, bounds, cursor)?;
        (limit, Begin::LastSuccess(cursor))
    } else {
        let (limit, cursor) = page(wanted.limit, bounds, cursor)?;
        (limit, Begin::First(cursor))
    };
    let mut filter = stored::Filter {
        status: wanted.status.into_iter().collect(),
        job: wanted.job,
        directive: wanted.directive,
        tag: wanted.tag,
        requested_by: wanted.requested_by,
        created_after: wanted.created_after,
        created_before: wanted.created_before,
        ..stored::Filter::default()
    };
    let page = runs::page(&mut *call.app.connection().await?, &mut filter, begin, limit).await?;
    let more = if page.next_cursor.is_some() { "; next_cursor leads to more" } else { "" };
    let since = match (begin, filter.since) {
        (Begin::First(_), _) => String::new(),
        (Begin::LastSuccess(_), Some(since)) => {
            format!(" since run {} succeeded at {}", since.run, since.finished_at)
        }
        (Begin::LastSuccess(_), None) => "; no run has succeeded yet".to_owned(),
    };
    let said = format!("{} runs{since}, newest first{more}.", page.runs.len());
    Reply::new(&page, said)
}

pub(crate) async fn get(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let RunReference { id } = parse(arguments)?;
    let run = runs::read(&mut *call.app.connection().await?, id).await?;
    Reply::new(&run, said(&run))
}

pub(crate) async fn report(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let RunReference { id } = parse(arguments)?;
    let report = read_report(call.app, id).await?;
    let said = report.markdown.clone();
    Reply::new(&report, said)
}

/// The report in both forms, once the run has ended.
pub(crate) async fn read_report(app: &crate::app::App, id: RunId) -> Result<ReportView, Problem> {
    let mut connection = app.connection().await?;
    let run = stored::find(&mut connection, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    let report = stored::report(&mut connection, id).await?;
    let report = report.and_then(|report| Some((report.markdown?, report.json?)));
    let (markdown, json) = report.ok_or_else(|| {
        let detail =
            format!("run {id} is {}; its report comes when it has ended: ask again later", run.status);
        Problem::new(Kind::RunNotFinished, detail)
    })?;
    Ok(ReportView { id, status: run.status, markdown, report: ReportJson(json), tokens: run.tokens.into() })
}

pub(crate) async fn cancel(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let RunReference { id } = parse(arguments)?;
    let mut connection = call.app.connection().await?;
    let outcome = cancel_run(&mut connection, id, &call.caller.actor()).await?;
    let run = runs::read(&mut connection, id).await?;
    let said = match outcome {
        RunCancel::Noted => format!("Run {id} is being cancelled; get_run tells when it has ended."),
        RunCancel::AlreadyEnded(status) => {
            format!("Run {id} had ended before: {status}. Nothing was changed.")
        }
    };
    Reply::new(&run, said)
}

/// What is decided about which run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveRun {
    /// Id of the run, as launch_run and list_runs give it.
    id: RunId,
    decision: Approval,
    /// One line for the audit trail.
    #[serde(default)]
    #[schema(schema_with = optional_line::<REASON_CHARACTERS>)]
    reason: Option<String>,
}

pub(crate) async fn approve(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let ApproveRun { id, decision, reason } = parse(arguments)?;
    let mut connection = call.app.connection().await?;
    let request = DecisionRequest { reason };
    let decided = decide(&mut connection, id, decision, &request, &call.caller.actor()).await?;
    let run = runs::read(&mut connection, id).await?;
    let said = match (decision, decided) {
        (Approval::Approved, Decided::Now) => {
            format!("Run {id} is approved and will be admitted; get_run tells when it runs.")
        }
        (Approval::Denied, Decided::Now) => format!("Run {id} is denied and will be cancelled."),
        (Approval::Approved | Approval::Denied, Decided::Before) => {
            format!("Run {id} was {decision} before. Nothing was changed.")
        }
    };
    Reply::new(&run, said)
}

pub(crate) async fn explain(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let RunJobReference { id } = parse(arguments)?;
    let why = run_jobs::explained(&mut *call.app.connection().await?, id).await?;
    Reply::new(&why, why.said())
}
