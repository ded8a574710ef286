//! A transition and the launch task that goes with it, in one transaction.

use cyberbrain_common::{
    db::{
        Conn, Error,
        transition::{Applied, Step, StepError, transition_all},
    },
    queue::{self, LaunchTask},
};
use cyberbrain_core::audit::Actor;

/// Who we are in the audit trail.
pub(crate) const ACTOR: Actor = Actor::System("scheduler");

/// One transition, and whom it concerns.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub step: Step,
    /// Pushed if the step applies: the launchers of that host are to look.
    pub launch: Option<LaunchTask>,
}

impl From<Step> for Move {
    fn from(step: Step) -> Self {
        Self { step, launch: None }
    }
}

/// Applies the moves on the caller's transaction. Outcomes come in the order of the moves.
pub(crate) async fn apply(
    connection: &mut Conn,
    moves: &[Move],
) -> Result<Vec<Result<Applied, StepError>>, Error> {
    let steps: Vec<Step> = moves.iter().map(|planned| planned.step.clone()).collect();
    let outcomes = transition_all(connection, &steps, &ACTOR).await?;
    let launches: Vec<LaunchTask> = moves
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_ok())
        .filter_map(|(planned, _)| planned.launch)
        .collect();
    queue::push(connection, &launches).await?;
    Ok(outcomes)
}
