//! Tasks: a launch that is answered at once and asked for later (the extension `io.modelcontextprotocol/tasks`).
//!
//! A task is a run and its id is the run's id, so that nothing is kept here: any api process answers for any task, also
//! for one whose run was launched over REST. Whoever waits for an approval is not asked for it here: a person gives it,
//! so such a task is working.

use chrono::SecondsFormat;
use cyberbrain_common::{
    cancel::cancel_run,
    keys::{Principal, Scope},
};
use cyberbrain_core::{ids::RunId, lifecycle::RunStatus};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CreateTaskResult, DetailedTask, ErrorCode, GetTaskResult, JsonObject, ProtocolVersion, Task,
        TaskPayload, TaskStatus,
    },
    service::RequestContext,
};
use serde::Serialize;

use super::{
    schema,
    server::{caller, success},
    tools::{Reply, runs::said},
};
use crate::{
    app::App,
    handlers::runs,
    problem::{Kind, Problem},
    views::RunView,
};

/// How often a client should ask.
const ASK_AGAIN_MS: u64 = 1_000;
/// Of a run that failed: of the range that JSON-RPC leaves to servers.
const RUN_FAILED: ErrorCode = ErrorCode(-32_000);

/// Whether a client can take a task for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tasks {
    Understood,
    Unknown,
}

impl Tasks {
    /// By what this request declares. Clients of older protocols know another kind of tasks.
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Self {
        let current = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        let declared = context.client_capabilities().is_some_and(|can| can.supports_tasks());
        if current && declared { Self::Understood } else { Self::Unknown }
    }
}

/// What a launch answers to a client that understands tasks.
pub(super) fn created(run: &RunView) -> CreateTaskResult {
    CreateTaskResult::new(task(run))
}

/// The task as it is, with its result if it has one.
pub(super) async fn get(app: &App, id: &str) -> Result<GetTaskResult, ErrorData> {
    let run = read(app, id).await.map_err(failed)?;
    let payload = payload(&run).map_err(failed)?;
    Ok(GetTaskResult::new(DetailedTask::new(task(&run), payload)))
}

/// Notes that the run is to be cancelled; `tasks/get` tells when it has ended.
pub(super) async fn cancel(app: &App, caller: &Principal, id: &str) -> Result<(), ErrorData> {
    let run = parse(id).map_err(failed)?;
    let noted = async {
        let mut connection = app.connection().await?;
        Ok::<_, Problem>(cancel_run(&mut connection, run, &caller.actor()).await?)
    };
    noted.await.map(|_| ()).map_err(failed)
}

/// Answers to questions that were never asked are ignored, as the extension wants it; an unknown task is not.
pub(super) async fn update(app: &App, id: &str) -> Result<(), ErrorData> {
    read(app, id).await.map(|_| ()).map_err(failed)
}

/// Refuses a caller whose key may not use the tool that does the same.
pub(super) fn check_scope(
    context: &RequestContext<RoleServer>,
    needed: Scope,
) -> Result<&Principal, ErrorData> {
    let caller = caller(context)?;
    if caller.scope.covers(needed) {
        return Ok(caller);
    }
    let (name, scope) = (&caller.name, caller.scope);
    let detail =
        format!("key {name} has the scope {scope}; this needs {needed}: ask an admin for another key");
    Err(ErrorData::invalid_request(detail, None))
}

async fn read(app: &App, id: &str) -> Result<RunView, Problem> {
    runs::read(&mut *app.connection().await?, parse(id)?).await
}

fn parse(id: &str) -> Result<RunId, Problem> {
    id.parse().map_err(|_| Problem::new(Kind::NotFound, "there is no such task; its id is the id of a run"))
}

/// An unknown task is the client's mistake; the rest is ours.
fn failed(problem: Problem) -> ErrorData {
    match problem.kind {
        Kind::NotFound => ErrorData::invalid_params(problem.detail, None),
        _ => ErrorData::internal_error(problem.detail, None),
    }
}

fn task(run: &RunView) -> Task {
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    Task::new(run.id().to_string(), status(run.status()), time(run.created_at()), time(run.changed_at()))
        .with_status_message(run.waits().map_or_else(|| said(run), str::to_owned))
        .with_poll_interval_ms(ASK_AGAIN_MS)
}

const fn status(status: RunStatus) -> TaskStatus {
    match status {
        RunStatus::Pending | RunStatus::Running => TaskStatus::Working,
        RunStatus::Success => TaskStatus::Completed,
        RunStatus::Failed => TaskStatus::Failed,
        RunStatus::Cancelled => TaskStatus::Cancelled,
    }
}

fn payload(run: &RunView) -> Result<TaskPayload, Problem> {
    Ok(match run.status() {
        RunStatus::Pending | RunStatus::Running => TaskPayload::Working,
        RunStatus::Success => {
            TaskPayload::Completed { result: object(&success(Reply::new(run, said(run))?))? }
        }
        RunStatus::Failed => {
            let data = serde_json::to_value(run).map_err(|error| Problem::internal(&error))?;
            let error = ErrorData::new(RUN_FAILED, said(run), Some(data));
            TaskPayload::Failed { error: object(&error)? }
        }
        RunStatus::Cancelled => TaskPayload::Cancelled,
    })
}

fn object<T: Serialize>(value: &T) -> Result<JsonObject, Problem> {
    serde_json::to_value(value).map(schema::object).map_err(|error| Problem::internal(&error))
}
