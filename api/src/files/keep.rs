//! `UploadKeeper`: removes uploads that no run was launched with for long, and beyond a size those that were not used for
//! longest. Marks rows first, then unlinks, then notes that the files are gone.
//!
//! Guarantees: an upload that a RunJob needs which has not ended stays; what is marked, also by a person, is unlinked by
//! this look or a later one, here or in another api process with the same directory, and counted once; uploads in other
//! directories are left alone. The decision is `cyberbrain_core::retention`.

use std::{io, time::Duration};

use cyberbrain_common::{
    db::{
        self, Conn, Pool,
        kept_files::Turn,
        kept_uploads::{self, Purged},
        runs::After,
    },
    metric,
};
use cyberbrain_core::{
    audit::Actor,
    ids::{RootId, UploadId},
    retention::{Cause, Next, Policy, Removal, Sweep},
};
use sqlx::Connection as _;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::UploadStore;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(600);
/// Between two tries while there is no database yet.
const RETRY: Duration = Duration::from_secs(10);
/// One step with the database.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// Uploads that are looked at, marked or unlinked in one step.
const PAGE: i64 = 500;
/// Steps of one look; the next one goes on.
const MAX_STEPS: usize = 1_000;
const ACTOR: Actor = Actor::System("api");

/// Looks after the uploads of one directory.
#[derive(Debug, Clone)]
pub struct UploadKeeper {
    pool: Pool,
    store: UploadStore,
    policy: Policy,
}

/// Why a look was broken off.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("the database did not take it")]
    Db(#[from] db::Error),
    #[error("the database did not answer in {} s", STEP_LIMIT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("the directory of uploads can't be read")]
    Directory(#[from] io::Error),
}

/// Whether more is to be marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marking {
    More,
    Done,
}

impl UploadKeeper {
    #[must_use]
    pub fn new(pool: Pool, store: UploadStore, policy: Policy) -> Self {
        Self { pool, store, policy }
    }

    /// Looks every ten minutes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                looked = self.look() => if let Err(error) = looked {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old uploads could not be removed; the next look will try");
                    tick.reset_after(RETRY);
                },
                // Where it is broken off, the next look goes on.
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look.
    ///
    /// # Errors
    /// [`KeepError`]; what was done until then is done.
    pub async fn look(&self) -> Result<(), KeepError> {
        let Some(root) = self.store.root_id().await? else { return Ok(()) };
        for _ in 0..MAX_STEPS {
            let claimed = async { kept_uploads::claim(&mut *self.pool.acquire().await?, root, PAGE).await };
            if timeout(STEP_LIMIT, claimed).await?? < PAGE.unsigned_abs() {
                break;
            }
        }
        if self.policy != Policy::default() {
            for _ in 0..MAX_STEPS {
                match timeout(STEP_LIMIT, self.mark(root)).await?? {
                    Marking::More => {}
                    Marking::Done => break,
                }
            }
        }
        let mut after = None;
        for _ in 0..MAX_STEPS {
            let marked =
                async { kept_uploads::marked(&mut *self.pool.acquire().await?, root, after, PAGE).await };
            let marked = timeout(STEP_LIMIT, marked).await??;
            let Some(last) = marked.last() else { break };
            after = Some(*last);
            let noted = async { purge(&mut *self.pool.acquire().await?, &self.store, &marked).await };
            timeout(STEP_LIMIT, noted).await??;
        }
        Ok(())
    }

    /// Marks up to a page of uploads, in one transaction with the numbers that it follows from.
    async fn mark(&self, root: RootId) -> Result<Marking, db::Error> {
        let mut connection = self.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        if kept_uploads::take_turn(&mut tx, root).await? == Turn::Anothers {
            return Ok(Marking::Done);
        }
        let held = kept_uploads::held(&mut tx, root).await?;
        let mut sweep = Sweep::new(self.policy, held.now, held.bytes);
        let mut after = None;
        let (removals, marking) = loop {
            let files = kept_uploads::oldest(&mut tx, root, after, PAGE).await?;
            let Some(last) = files.last() else { break (Vec::new(), Marking::Done) };
            after = Some(After { created_at: last.since, id: last.id.uuid() });
            match sweep.page(&files) {
                // A page of live ones only: younger ones are looked at in the same breath.
                (removals, Next::LookOn) if removals.is_empty() => {}
                (removals, Next::LookOn) => break (removals, Marking::More),
                (removals, Next::Done) => break (removals, Marking::Done),
            }
        };
        let mut marked = 0;
        for cause in Cause::ALL {
            let of_cause = |removal: &&Removal<UploadId>| removal.cause == *cause;
            let ids: Vec<UploadId> = removals.iter().filter(of_cause).map(|removal| removal.id).collect();
            marked += kept_uploads::mark(&mut tx, &ids, *cause, &ACTOR).await?;
        }
        tx.commit().await?;
        if marked > 0 {
            tracing::info!(uploads = marked, "old uploads are removed");
        }
        // Those that are being launched with are not marked: to ask again at once would go on for as long as that takes.
        Ok(if marked > 0 { marking } else { Marking::Done })
    }
}

/// Unlinks marked uploads of the store's own directory, and notes those that are gone.
pub(super) async fn purge(
    connection: &mut Conn,
    store: &UploadStore,
    marked: &[UploadId],
) -> Result<(), db::Error> {
    let gone = store.unlink(marked).await;
    if gone.is_empty() {
        return Ok(());
    }
    for Purged { cause, files, bytes } in kept_uploads::purged(connection, &gone).await? {
        let cause = cause.map_or("deleted", |cause| cause.as_str());
        metrics::counter!(metric::UPLOADS_REMOVED, "cause" => cause).increment(files);
        metrics::counter!(metric::UPLOADS_REMOVED_BYTES, "cause" => cause).increment(bytes);
    }
    Ok(())
}
