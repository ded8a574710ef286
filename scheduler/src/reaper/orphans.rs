//! Attempts whose launcher fell silent or ended: open for adoption on the same host, under the next fence.

use cyberbrain_common::{
    db::{
        Conn, Error,
        presence::{self, LauncherState, TakenAttempt},
        transition::Step,
    },
    queue::LaunchTask,
};
use cyberbrain_core::{ids::AttemptId, lifecycle::Event};

use crate::{moves::Move, sweep::Sweep};

/// Taken attempts of launchers in these states.
pub(super) struct OwnedBy(pub &'static [LauncherState]);

impl Sweep for OwnedBy {
    const NAME: &'static str = "attempts of silent launchers";
    type Row = TakenAttempt;
    type Position = AttemptId;

    async fn page(
        &self,
        tx: &mut Conn,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<TakenAttempt>, Error> {
        presence::attempts_of_owners(tx, self.0, after, limit).await
    }

    fn position(row: &TakenAttempt) -> AttemptId {
        row.attempt
    }

    fn to_move(&self, row: &TakenAttempt) -> Option<Move> {
        Some(Move {
            step: Step::new(row.run_job, Event::Orphan { fence: row.fence }),
            launch: Some(LaunchTask { host: row.host, attempt: row.attempt }),
        })
    }
}
