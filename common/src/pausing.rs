//! Pausing and resuming the queues.
//!
//! A paused queue is not worked on: nothing is admitted (`runs`), placed (`run_jobs`) or offered to launchers (`launch`).
//! What runs goes on, and launches are still taken. Guarantees: one transaction with the audit row; a resume wakes the
//! scheduler. Deliberately absent: stopping work, which is `cancel`.

use cyberbrain_core::audit::{Actor, Operation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection as _;
use utoipa::ToSchema;

use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        pauses,
    },
    launch::{
        Problem,
        check::check_line,
        describe::line,
        object::object_only,
        problem::{Pointer, Problems},
    },
    queue::QueueKind,
    reason::REASON_CHARACTERS,
    wake::{self, CAPACITY_FREED},
};

/// Which queue, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct PauseRequest {
    /// All three without it.
    #[serde(default)]
    pub queue: Option<QueueKind>,
    /// One line; shown while it lasts and kept in the audit trail.
    #[schema(schema_with = line::<REASON_CHARACTERS>)]
    pub reason: String,
}

object_only!(PauseRequest);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseVerb {
    Pause,
    Resume,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the request has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    #[error("the change could not be stored")]
    Database(#[from] db::Error),
}

/// Pauses or resumes; repeating it changes nothing more than the reason.
///
/// # Errors
/// See [`Error`].
pub async fn change(
    connection: &mut Conn,
    verb: PauseVerb,
    request: &PauseRequest,
    actor: &Actor,
) -> Result<(), Error> {
    let mut problems = Problems::default();
    check_line(&request.reason, REASON_CHARACTERS, &Pointer::Root.key("reason"), &mut problems);
    problems.finish().map_err(Error::Invalid)?;
    let queues = request.queue.map_or_else(|| QueueKind::ALL.to_vec(), |queue| vec![queue]);
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let word = match verb {
        PauseVerb::Pause => {
            pauses::pause(&mut tx, &queues, &actor.to_string(), &request.reason).await?;
            "pause"
        }
        PauseVerb::Resume => {
            pauses::resume(&mut tx, &queues).await?;
            "resume"
        }
    };
    let entry = Entry::new(Operation::Change, actor).reason(request.reason.as_str());
    audit::write(&mut tx, entry.config(json!({ "queues": queues, "change": word }))).await?;
    tx.commit().await.map_err(db::Error::from)?;
    tracing::info!(?queues, change = word, actor = %actor, "queues changed");
    match verb {
        PauseVerb::Pause => {}
        PauseVerb::Resume => wake::send(connection, CAPACITY_FREED).await,
    }
    Ok(())
}
