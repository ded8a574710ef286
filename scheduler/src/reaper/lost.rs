//! Attempts on a host that is out of contact: given up when its guard must have stopped their containers.

use std::time::Duration;

use cyberbrain_common::db::{
    Conn, Error,
    contact::GuardState,
    presence::{self, AtRisk, Contact},
    transition::{Facts, Step},
};
use cyberbrain_core::{
    ids::AttemptId,
    lifecycle::{Event, FailureKind},
    spec::OnHostLost,
    watch::guard::least_host_lost_after,
};

use super::verdicts::SilentHost;
use crate::{moves::Move, sweep::Sweep};

/// Taken attempts on this host.
pub(super) struct AtRiskOn<'a>(pub &'a SilentHost);

impl Sweep for AtRiskOn<'_> {
    const NAME: &'static str = "attempts on a lost host";
    type Row = AtRisk;
    type Position = AttemptId;

    async fn page(&self, tx: &mut Conn, after: Option<AttemptId>, limit: u32) -> Result<Vec<AtRisk>, Error> {
        let rows = presence::at_risk(tx, self.0.host, after, limit).await?;
        // With the RunJobs locked: a host that came back meanwhile keeps its work.
        Ok(match presence::look_again(tx, self.0.host, self.0.contact).await? {
            Contact::StandsStill => rows,
            Contact::Moved => Vec::new(),
        })
    }

    fn position(row: &AtRisk) -> AttemptId {
        row.attempt
    }

    fn to_move(&self, row: &AtRisk) -> Option<Move> {
        let seconds = self.0.silence.as_secs();
        may_replace(self.0.silence, self.0.guard, row).then(|| {
            Step {
                run_job: row.run_job,
                event: Event::Lose { failure: FailureKind::HostLost },
                facts: Facts {
                    detail: Some(format!("its host was out of contact for {seconds} s")),
                    ..Facts::default()
                },
            }
            .into()
        })
    }
}

/// Whether a new attempt may be made elsewhere: only when this one's container must be gone.
pub(super) fn may_replace(silence: Duration, guard: GuardState, row: &AtRisk) -> bool {
    let grace = Duration::from_secs(u64::from(row.stop_grace_seconds));
    let lost_after = Duration::from_secs(u64::from(row.host_lost_seconds)).max(least_host_lost_after(grace));
    match (row.on_host_lost, guard) {
        (OnHostLost::Replace, GuardState::Present) => silence >= lost_after,
        (OnHostLost::Replace, GuardState::Absent)
        | (OnHostLost::Wait, GuardState::Present | GuardState::Absent) => false,
    }
}
