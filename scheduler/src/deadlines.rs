//! Deadlines: nothing stays in an unfinished state for ever.
//!
//! | what                                  | then                                            |
//! |---------------------------------------|-------------------------------------------------|
//! | an offer that nobody took             | withdrawn, and placed again at once             |
//! | a RunJob that got no place            | fails with `timeout_queue`                      |
//! | an attempt that its owner left behind | orphaned: whoever of its host looks, adopts it  |
//!
//! The deadlines are the database's, by its own clock. Deliberately absent: ending a taken attempt; only its host can
//! say what became of its container.

use cyberbrain_common::{
    db::{
        Conn, Error, Pool,
        deadlines::{self, After, OverdueAttempt, OverdueRunJob},
        transition::{Facts, Step},
    },
    queue::LaunchTask,
};
use cyberbrain_core::lifecycle::{Event, FailureKind};

use crate::{
    moves::Move,
    pass::{Next, Pass},
    signal::Signal,
    sweep::{Sweep, sweep},
};

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadlineSummary {
    pub withdrawn: u64,
    /// RunJobs that waited too long.
    pub timed_out: u64,
    pub orphaned: u64,
}

/// Enforces the deadlines.
#[derive(Debug)]
pub struct Deadlines {
    pool: Pool,
    tick: Signal,
}

impl Deadlines {
    #[must_use]
    pub fn new(pool: Pool, tick: Signal) -> Self {
        Self { pool, tick }
    }

    /// One pass.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_once(&mut self) -> Result<DeadlineSummary, Error> {
        let withdrawn = sweep(&self.pool, &Offers).await?.moved;
        if withdrawn > 0 {
            self.tick.wake();
        }
        let timed_out = sweep(&self.pool, &Waiting).await?.moved;
        let orphaned = sweep(&self.pool, &Taken).await?.moved;
        Ok(DeadlineSummary { withdrawn, timed_out, orphaned })
    }
}

impl Pass for Deadlines {
    const NAME: &'static str = "deadlines";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once().await?;
        Ok(Next::Wait)
    }
}

struct Offers;

impl Sweep for Offers {
    const NAME: &'static str = "overdue offers";
    type Row = OverdueAttempt;
    type Position = After;

    async fn page(
        &self,
        tx: &mut Conn,
        after: Option<After>,
        limit: u32,
    ) -> Result<Vec<OverdueAttempt>, Error> {
        deadlines::offers(tx, after, limit).await
    }

    fn position(row: &OverdueAttempt) -> After {
        row.position()
    }

    fn to_move(&self, row: &OverdueAttempt) -> Option<Move> {
        Some(Step::new(row.run_job, Event::Withdraw { fence: row.fence }).into())
    }
}

struct Waiting;

impl Sweep for Waiting {
    const NAME: &'static str = "overdue run jobs";
    type Row = OverdueRunJob;
    type Position = After;

    async fn page(
        &self,
        tx: &mut Conn,
        after: Option<After>,
        limit: u32,
    ) -> Result<Vec<OverdueRunJob>, Error> {
        deadlines::waiting(tx, after, limit).await
    }

    fn position(row: &OverdueRunJob) -> After {
        row.position()
    }

    fn to_move(&self, row: &OverdueRunJob) -> Option<Move> {
        let seconds = row.queue_seconds;
        let detail = match &row.waiting_reason {
            Some(reason) => format!("it got no place within {seconds} s; last reason: {reason}"),
            None => format!("it got no place within {seconds} s"),
        };
        let step = Step {
            run_job: row.run_job,
            event: Event::Refuse { failure: FailureKind::QueueTimeout },
            facts: Facts { detail: Some(detail), ..Facts::default() },
        };
        Some(step.into())
    }
}

struct Taken;

impl Sweep for Taken {
    const NAME: &'static str = "overdue attempts";
    type Row = OverdueAttempt;
    type Position = After;

    async fn page(
        &self,
        tx: &mut Conn,
        after: Option<After>,
        limit: u32,
    ) -> Result<Vec<OverdueAttempt>, Error> {
        deadlines::taken(tx, after, limit).await
    }

    fn position(row: &OverdueAttempt) -> After {
        row.position()
    }

    fn to_move(&self, row: &OverdueAttempt) -> Option<Move> {
        Some(Move {
            step: Step::new(row.run_job, Event::Orphan { fence: row.fence }),
            launch: Some(LaunchTask { host: row.host, attempt: row.attempt }),
        })
    }
}
