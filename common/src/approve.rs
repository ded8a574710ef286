//! Approving and denying: how a person decides about a Run whose directive asks for that.
//!
//! One transaction under the Run's lock holds the decision, its audit row and the push that wakes the scheduler, which
//! admits or ends the Run. Guarantees: one decision per Run; repeating it changes nothing, the opposite one is refused.
//! Deliberately absent: waiting for what the scheduler does with it.

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::RunId,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection as _;
use utoipa::ToSchema;

use crate::{
    db::{
        self, Conn,
        admission::{self, Approval, Decision, Undecided},
        audit::{self, Entry},
    },
    launch::{
        Problem,
        check::check_line,
        describe::optional_line,
        object::object_only,
        problem::{Pointer, Problems},
    },
    queue::{self, RunTask},
};

/// The longest reason of a decision, in characters.
pub const REASON_CHARACTERS: usize = 500;

/// Why somebody decides as they do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct DecisionRequest {
    /// One line for the audit trail.
    #[serde(default)]
    #[schema(schema_with = optional_line::<REASON_CHARACTERS>)]
    pub reason: Option<String>,
}

object_only!(DecisionRequest);

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is noted; the scheduler acts on it.
    Now,
    /// The same was decided before; nothing was written.
    Before,
}

/// A decision that was not taken; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the decision has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    /// Somebody decided the opposite before.
    #[error("run {run} was {} by {}; a decision stays", decision.approval, decision.by)]
    Contrary { run: RunId, decision: Decision },
    /// The Run's directive asks for no approval.
    #[error("run {0} waits for nobody's approval: its directive asks for none")]
    NotAsked(RunId),
    /// The Run has ended or was cancelled before anybody decided.
    #[error("run {0} does not wait for approval any more: it has ended or is being cancelled")]
    TooLate(RunId),
    #[error("the decision could not be stored")]
    Database(#[from] db::Error),
}

/// Approves or denies a Run.
///
/// # Errors
/// See [`Error`].
pub async fn decide(
    connection: &mut Conn,
    run: RunId,
    approval: Approval,
    request: &DecisionRequest,
    actor: &Actor,
) -> Result<Decided, Error> {
    let reason = request.reason.as_deref();
    if let Some(reason) = reason {
        let mut problems = Problems::default();
        check_line(reason, REASON_CHARACTERS, &Pointer::Root.key("reason"), &mut problems);
        problems.finish().map_err(Error::Invalid)?;
    }
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let undecided = admission::lock_for_decision(&mut tx, run)
        .await?
        .ok_or_else(|| db::Error::NotFound { what: "run", id: run.to_string() })?;
    match undecided {
        Undecided::Decided(decision) if decision.approval == approval => return Ok(Decided::Before),
        Undecided::Decided(decision) => return Err(Error::Contrary { run, decision }),
        Undecided::NotAsked => return Err(Error::NotAsked(run)),
        Undecided::TooLate => return Err(Error::TooLate(run)),
        Undecided::Open => {}
    }
    admission::decide(&mut tx, run, approval, &actor.to_string(), reason.unwrap_or_default()).await?;
    let entry = Entry::new(Operation::Change, actor).run(run);
    let entry = match reason {
        Some(reason) => entry.reason(reason),
        None => entry,
    };
    audit::write(&mut tx, entry.config(json!({ "approval": approval }))).await?;
    queue::push(&mut tx, &[RunTask::Admit(run)]).await.map_err(db::Error::from)?;
    tx.commit().await.map_err(db::Error::from)?;
    tracing::info!(run.id = %run, %approval, actor = %actor, "run decided");
    Ok(Decided::Now)
}
