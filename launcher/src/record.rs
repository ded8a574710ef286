//! `Record`: what one stage of an attempt writes, as data, so that it can be written again until it is written.
//!
//! One record is one transaction. Guarantees: a record is either written once, or the caller learns that the attempt
//! is not its own any more; a lost answer to a commit is told apart by looking.

use std::time::Duration;

use cyberbrain_common::{
    db::{
        self, Conn, artifacts, attempts, audit,
        staging::{self, Cursor},
        supervision::{self, Fenced, ProgressUpdate, record_progress},
        transition::{Applied, Step, transition},
    },
    wake::Backoff,
};
use cyberbrain_core::{
    ids::{AttemptId, Fence, RunJobId},
    lifecycle::{Event, Refusal},
    outcome::Progress,
};
use sqlx::Connection;
use tokio::time::{sleep, timeout};

use crate::{
    agent::Agent,
    orders::{LetGo, Orders},
};

/// One try.
const TRY_LIMIT: Duration = Duration::from_secs(10);

/// Everything that one transaction writes about one attempt.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub step: Option<Step>,
    /// Id of a container that was made.
    pub spawned: Option<(String, audit::Entry)>,
    /// What the worker last said of itself, if nobody has written it down yet.
    pub progress: Option<Progress>,
    pub artifacts: Vec<artifacts::ArtifactFile>,
    pub cursors: Vec<Cursor>,
    pub audit: Vec<audit::Entry>,
    /// Give the place back.
    pub release: Option<audit::Entry>,
}

/// Which attempt, under which fence.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub run: cyberbrain_core::ids::RunId,
    pub run_job: RunJobId,
    pub attempt: AttemptId,
    pub fence: Fence,
    pub task_key: String,
}

impl Agent {
    /// Writes the record, however often the database has to be asked, unless told to let go. `Ok(None)`: it had been
    /// written before.
    pub(crate) async fn write(
        &self,
        owned: &Owned,
        record: &Record,
        orders: &mut Orders,
    ) -> Result<Option<Applied>, LetGo> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut uncertain = false;
        loop {
            let tried = tokio::select! {
                () = orders.let_go() => return Err(LetGo),
                tried = timeout(TRY_LIMIT, self.try_write(owned, record)) => tried,
            };
            match tried {
                Ok(Ok(Written::Applied(applied))) => return Ok(applied),
                Ok(Ok(Written::FenceGone)) => return Err(LetGo),
                Ok(Err(db::Error::Refused(refusal))) => {
                    if uncertain && already_done(record, refusal) {
                        return Ok(None);
                    }
                    tracing::info!(attempt.id = %owned.attempt, fence = owned.fence.0, %refusal, "letting go of an attempt");
                    return Err(LetGo);
                }
                Ok(Err(error)) => {
                    uncertain = true;
                    tracing::warn!(attempt.id = %owned.attempt, error = &error as &dyn std::error::Error, "a stage could not be recorded, trying again");
                }
                Err(_) => {
                    uncertain = true;
                    tracing::warn!(attempt.id = %owned.attempt, limit_s = TRY_LIMIT.as_secs(), "the database did not answer, trying again");
                }
            }
            tokio::select! {
                () = orders.let_go() => return Err(LetGo),
                () = sleep(backoff.next_pause()) => {}
            }
        }
    }

    /// One try, bounded: for what should be known but must not be waited for.
    pub(crate) async fn write_once(&self, owned: &Owned, record: &Record) -> Result<(), WriteOnceError> {
        match timeout(TRY_LIMIT / 2, self.try_write(owned, record)).await {
            Ok(Ok(Written::Applied(_))) => Ok(()),
            Ok(Ok(Written::FenceGone)) => Err(WriteOnceError::Gone),
            Ok(Err(db::Error::Refused(Refusal::WrongState { .. }))) => Ok(()),
            Ok(Err(db::Error::Refused(_))) => Err(WriteOnceError::Gone),
            Ok(Err(_)) | Err(_) => Err(WriteOnceError::NotWritten),
        }
    }

    async fn try_write(&self, owned: &Owned, record: &Record) -> Result<Written, db::Error> {
        let mut connection = self.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        let written = self.apply(&mut tx, owned, record).await?;
        match written {
            Written::Applied(_) => tx.commit().await?,
            Written::FenceGone => tx.rollback().await?,
        }
        Ok(written)
    }

    async fn apply(&self, tx: &mut Conn, owned: &Owned, record: &Record) -> Result<Written, db::Error> {
        if let Some(progress) = &record.progress {
            // Before the step: it may end the attempt, and an ended one makes no progress.
            let update =
                ProgressUpdate { attempt: owned.attempt, fence: owned.fence, progress: progress.clone() };
            record_progress(tx, &[update]).await?;
        }
        let applied = match &record.step {
            Some(step) => Some(transition(tx, step.clone(), &Self::actor()).await?),
            None => None,
        };
        if let Some((container_id, entry)) = &record.spawned {
            let fenced = supervision::spawned(
                tx,
                owned.attempt,
                owned.fence,
                self.launcher,
                container_id,
                entry.clone(),
            )
            .await?;
            if fenced == Fenced::Gone {
                return Ok(Written::FenceGone);
            }
        }
        let origin = artifacts::Origin {
            run: owned.run,
            run_job: owned.run_job,
            attempt: owned.attempt,
            host: self.host,
            root: self.layout.root,
            left_at: None,
        };
        artifacts::insert(tx, origin, &record.artifacts).await?;
        staging::advance_cursors(tx, &owned.task_key, self.host, owned.run_job, &record.cursors).await?;
        audit::write_all(tx, &record.audit).await?;
        if let Some(entry) = &record.release {
            attempts::release(tx, owned.attempt, entry.clone()).await?;
        }
        Ok(Written::Applied(applied))
    }

    /// Whether the attempt is still ours, asked until the database answers.
    pub(crate) async fn still_ours(&self, owned: &Owned, orders: &mut Orders) -> Result<(), LetGo> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let look = async {
                let mut connection = self.pool.acquire().await?;
                supervision::check_fence(&mut connection, owned.attempt, owned.fence, self.launcher).await
            };
            let looked = tokio::select! {
                () = orders.let_go() => return Err(LetGo),
                looked = timeout(TRY_LIMIT, look) => looked,
            };
            match looked {
                Ok(Ok(Fenced::Held)) => return Ok(()),
                Ok(Ok(Fenced::Gone)) => return Err(LetGo),
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::select! {
                () = orders.let_go() => return Err(LetGo),
                () = sleep(backoff.next_pause()) => {}
            }
        }
    }
}

/// What came of one try.
enum Written {
    Applied(Option<Applied>),
    FenceGone,
}

/// Why a single try wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteOnceError {
    /// The attempt is not ours any more.
    Gone,
    /// The database did not take it.
    NotWritten,
}

/// Whether a refusal after an unanswered try says that this try was committed: the fence is still the same, and the
/// attempt is where the step leads or beyond.
fn already_done(record: &Record, refusal: Refusal) -> bool {
    let Some(step) = &record.step else { return false };
    match (step.event, refusal) {
        (Event::Begin { .. } | Event::Started { .. } | Event::Stop { .. }, Refusal::WrongState { .. }) => {
            true
        }
        // Only the owner of the fence finishes; a RunJob that was retried since then has an attempt of another fence
        // or none that is open.
        (Event::Finish { .. }, Refusal::AlreadyEnded { .. } | Refusal::NoOpenAttempt) => true,
        _ => false,
    }
}
