//! Winning and keeping the leader row.
//!
//! Guarantees: of several candidates one wins a term; a leader that can't raise its counter any more notices within
//! [`TRUST`] and stops by itself. Deliberately absent: any harm that would come of noticing late.

use std::time::Duration;

use cyberbrain_common::{
    boot_clock,
    db::{
        Error, Pool,
        leaders::{self, Holder, Leadership},
    },
};
use cyberbrain_core::watch::leader::{BEAT, CLAIM_AFTER, Candidacy, READ_EVERY, Standby};
use tokio::time;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::pass::told;

/// The row that schedulers compete for.
pub(crate) const ROLE: &str = "scheduler";
/// The longest that one exchange with the database may take.
const EXCHANGE: Duration = Duration::from_secs(2);
/// How long a leader that hears nothing from the database still trusts that it leads.
const TRUST: Duration = CLAIM_AFTER;

/// A candidate.
#[derive(Debug)]
pub(crate) struct Election {
    pool: Pool,
    /// This process.
    id: Uuid,
    standby: Standby,
}

impl Election {
    pub fn new(pool: Pool) -> Self {
        Self { pool, id: cyberbrain_common::ids::fresh(), standby: Standby::default() }
    }

    /// Waits until the row is ours. Cancel-safe.
    pub async fn win(&mut self) -> Holder {
        let mut failing = false;
        loop {
            match time::timeout(EXCHANGE, self.stand()).await {
                Ok(Ok(Some(holder))) => return holder,
                Ok(Ok(None)) => failing = false,
                Ok(Err(error)) => tell_once(&mut failing, &told(&error)),
                Err(_) => tell_once(&mut failing, "the database did not answer in time"),
            }
            time::sleep(READ_EVERY).await;
        }
    }

    /// One look at the row, and the claim if it is due.
    async fn stand(&mut self) -> Result<Option<Holder>, Error> {
        let mut connection = self.pool.acquire().await?;
        let instant_ms = boot_clock::now_ms();
        let row = leaders::read(&mut connection, ROLE).await?;
        match self.standby.read(instant_ms, row) {
            Candidacy::Follow { silence: _ } => Ok(None),
            Candidacy::Claim { term, instead_of } => {
                let holder = Holder { id: self.id, term };
                match leaders::claim(&mut connection, ROLE, holder, instead_of).await? {
                    Leadership::Ours => Ok(Some(holder)),
                    Leadership::Theirs => Ok(None),
                }
            }
        }
    }

    /// Raises the counter until the row is somebody else's, or nobody can say whose it is. Cancel-safe.
    pub async fn keep(&mut self, holder: Holder) {
        let mut last_heard_ms = boot_clock::now_ms();
        let mut failing = false;
        loop {
            time::sleep(BEAT).await;
            let sent_ms = boot_clock::now_ms();
            match time::timeout(EXCHANGE, self.beat(holder)).await {
                Ok(Ok(Leadership::Ours)) => {
                    last_heard_ms = sent_ms;
                    failing = false;
                }
                Ok(Ok(Leadership::Theirs)) => {
                    warn!(term = holder.term, "somebody else leads");
                    break;
                }
                Ok(Err(error)) => tell_once(&mut failing, &told(&error)),
                Err(_) => tell_once(&mut failing, "the database did not answer in time"),
            }
            let unheard = Duration::from_millis(boot_clock::now_ms().saturating_sub(last_heard_ms));
            if unheard >= TRUST {
                warn!(
                    term = holder.term,
                    unheard_ms = unheard.as_millis(),
                    "the counter can't be raised any more"
                );
                break;
            }
        }
        // What was seen of the row before this term says nothing about its next leader.
        self.standby = Standby::default();
    }

    async fn beat(&self, holder: Holder) -> Result<Leadership, Error> {
        let mut connection = self.pool.acquire().await?;
        leaders::beat(&mut connection, ROLE, holder).await
    }

    /// Gives the row up, if the database answers; a standby takes over sooner then.
    pub async fn resign(&self, holder: Holder) {
        let resign = async {
            let mut connection = self.pool.acquire().await?;
            leaders::resign(&mut connection, ROLE, holder).await
        };
        match time::timeout(EXCHANGE, resign).await {
            Ok(Ok(())) => debug!(term = holder.term, "resigned"),
            Ok(Err(error)) => debug!(term = holder.term, error = told(&error), "could not resign"),
            Err(_) => debug!(term = holder.term, "could not resign in time"),
        }
    }
}

fn tell_once(failing: &mut bool, error: &str) {
    if !*failing {
        warn!(error, "the leader row can't be reached, trying again");
    }
    *failing = true;
}
