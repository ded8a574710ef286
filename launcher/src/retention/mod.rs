//! Removes files of ended runs from this host: marks rows first, then unlinks, then notes that the files are gone.
//!
//! Guarantees: what is marked is unlinked by this pass or a later one, by us or by a sibling with the same logs root, and
//! counted once; files in other logs roots are left alone, with their rows; each step is bounded. The decision is
//! `cyberbrain_core::retention`. What attempts left that nobody listed is listed first ([`leftovers`]). Deliberately absent:
//! uploads, which the api keeps.

mod leftovers;
mod unlink;

use std::{sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{
        self,
        kept_files::{self, Location, Turn},
        runs::After,
    },
    file_root, metric,
};
use cyberbrain_core::{
    ids::ArtifactId,
    retention::{Cause, HeldFile, Next, Policy, Removal, Sweep},
};
use sqlx::Connection as _;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;

/// Between two looks at a host's files.
const PERIOD: Duration = Duration::from_secs(600);
/// Looks from one walk through all directories to the next.
const LOOKS_PER_WALK: usize = 6;
/// One step with the database.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// Files that are looked at, marked or unlinked in one step.
const PAGE: i64 = 500;
/// Steps of one look; the next one goes on.
const MAX_STEPS: usize = 1_000;

/// Looks after the files of these hosts until `shutdown`.
pub(crate) async fn run(agents: Vec<Arc<Agent>>, policy: Policy, shutdown: CancellationToken) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for looks in (0..LOOKS_PER_WALK).cycle() {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        if looks == 0 {
            tokio::select! {
                walked = leftovers::walk(&agents, policy) => if let Err(error) = walked {
                    tracing::warn!(error = &error as &dyn std::error::Error, "what attempts left could not all be listed; the next walk will try");
                },
                () = shutdown.cancelled() => return,
            }
        }
        for agent in &agents {
            tokio::select! {
                looked = look(agent, policy) => if let Err(error) = looked {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old files could not be removed; the next look will try");
                },
                // Where it is broken off, the next look goes on.
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Why a look was broken off.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the database did not take it")]
    Db(#[from] db::Error),
    #[error("the database did not answer in {} s", STEP_LIMIT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
}

async fn look(agent: &Agent, policy: Policy) -> Result<(), Error> {
    if !is_there(agent).await {
        tracing::warn!(path = %agent.layout.logs.display(), "the logs root is not the directory that it was; nothing is removed");
        return Ok(());
    }
    for _ in 0..MAX_STEPS {
        let claimed = async {
            let mut connection = agent.pool.acquire().await?;
            kept_files::claim(&mut connection, location(agent), PAGE).await
        };
        if timeout(STEP_LIMIT, claimed).await?? < PAGE.unsigned_abs() {
            break;
        }
    }
    if policy != Policy::default() {
        for _ in 0..MAX_STEPS {
            match timeout(STEP_LIMIT, mark(agent, policy)).await?? {
                Marking::More => {}
                Marking::Done => break,
            }
        }
    }
    let mut after = None;
    for _ in 0..MAX_STEPS {
        after = purge(agent, after).await?;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

/// Whether the logs root is still what it was at the start: what is not mounted is not gone.
async fn is_there(agent: &Agent) -> bool {
    let (path, root) = (agent.layout.logs.clone(), agent.layout.root);
    tokio::task::spawn_blocking(move || file_root::is(&path, root)).await.unwrap_or(false)
}

/// Whether more is to be marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marking {
    More,
    Done,
}

/// Marks up to a page of files, in one transaction with the numbers that it follows from.
async fn mark(agent: &Agent, policy: Policy) -> Result<Marking, db::Error> {
    let mut connection = agent.pool.acquire().await?;
    let mut tx = connection.begin().await?;
    if kept_files::take_turn(&mut tx, location(agent)).await? == Turn::Anothers {
        return Ok(Marking::Done);
    }
    let held = kept_files::held(&mut tx, location(agent)).await?;
    let mut sweep = Sweep::new(policy, held.now, held.bytes);
    let mut after = None;
    let (removals, marking) = loop {
        let files = kept_files::oldest(&mut tx, location(agent), after, PAGE).await?;
        let Some(last) = files.last() else { break (Vec::new(), Marking::Done) };
        after = Some(position(last));
        match sweep.page(&files) {
            // A page of live files only: younger ones are looked at in the same breath.
            (removals, Next::LookOn) if removals.is_empty() => {}
            (removals, Next::LookOn) => break (removals, Marking::More),
            (removals, Next::Done) => break (removals, Marking::Done),
        }
    };
    let mut marked = 0;
    for cause in Cause::ALL {
        let of_cause = |removal: &&Removal<ArtifactId>| removal.cause == *cause;
        let ids: Vec<ArtifactId> = removals.iter().filter(of_cause).map(|removal| removal.id).collect();
        marked += kept_files::mark(&mut tx, &agent.host_name, &ids, *cause, &Agent::actor()).await?;
    }
    tx.commit().await?;
    if marked > 0 {
        tracing::info!(host = agent.host_name, files = marked, "files of ended runs are removed");
    }
    Ok(marking)
}

fn location(agent: &Agent) -> Location {
    Location { host: agent.host, root: agent.layout.root }
}

fn position(file: &HeldFile<ArtifactId>) -> After {
    After { created_at: file.since, id: file.id.uuid() }
}

/// Unlinks a page of marked files; where the next page begins, if there is one.
async fn purge(agent: &Agent, after: Option<ArtifactId>) -> Result<Option<ArtifactId>, Error> {
    let asked = async {
        let mut connection = agent.pool.acquire().await?;
        kept_files::marked(&mut connection, location(agent), after, PAGE).await
    };
    let files = timeout(STEP_LIMIT, asked).await??;
    let next = files.last().map(|file| file.id);
    let root = agent.layout.logs.clone();
    let unlinking = tokio::task::spawn_blocking(move || unlink::all(&root, &files));
    let gone = unlinking.await.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "unlinking was broken off");
        Vec::new()
    });
    if !gone.is_empty() {
        let noted = async {
            let mut connection = agent.pool.acquire().await?;
            kept_files::purged(&mut connection, &gone).await
        };
        let purged = timeout(STEP_LIMIT, noted).await??;
        metrics::counter!(metric::FILES_REMOVED, "host" => agent.host_name.clone()).increment(purged.files);
        metrics::counter!(metric::FILES_REMOVED_BYTES, "host" => agent.host_name.clone())
            .increment(purged.bytes);
    }
    Ok(next)
}
