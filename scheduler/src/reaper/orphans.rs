//! Attempts whose launcher fell silent or ended: open for adoption on the same host, under the next fence.

use std::collections::BTreeSet;

use cyberbrain_common::{
    db::{
        Conn, Error,
        presence::{self, LauncherState, TakenAttempt},
        transition::Step,
    },
    queue::LaunchTask,
};
use cyberbrain_core::{
    ids::{AttemptId, HostId},
    lifecycle::Event,
};

use crate::{moves::Move, sweep::Sweep};

/// Taken attempts of launchers in this state.
pub(super) struct OwnedBy<'a> {
    pub owner: LauncherState,
    /// Hosts whose attempts stay with whom they are.
    pub untouched: &'a BTreeSet<HostId>,
}

impl Sweep for OwnedBy<'_> {
    const NAME: &'static str = "attempts of silent launchers";
    type Row = TakenAttempt;
    type Position = AttemptId;

    async fn page(
        &self,
        tx: &mut Conn,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<TakenAttempt>, Error> {
        presence::attempts_of_owners(tx, self.owner, after, limit).await
    }

    fn position(row: &TakenAttempt) -> AttemptId {
        row.attempt
    }

    fn to_move(&self, row: &TakenAttempt) -> Option<Move> {
        (!self.untouched.contains(&row.host)).then(|| Move {
            step: Step::new(row.run_job, Event::Orphan { fence: row.fence }),
            launch: Some(LaunchTask { host: row.host, attempt: row.attempt }),
        })
    }
}
