//! Lists what attempts left that nobody listed, so that people find it and retention removes it as it does the rest.
//!
//! An owner lists files in the transaction that ends its attempt. Where an attempt was given up as lost there was none. A walk
//! goes through all directories of attempts below the logs root, and gives those files rows whose attempt is over, with its
//! container confirmed gone and its Run ended; they are as old as its end. A directory without any file goes when it is as old
//! as files may be. Guarantees: nothing of a live Run is touched, nor a directory whose attempt the database does not know (it
//! may be another installation's), nor what is no directory of an attempt; no link is followed.

use std::{fs, io, path::Path, sync::Arc};

use cyberbrain_common::db::{
    artifacts,
    leftovers::{self, Leftover},
};
use cyberbrain_core::{
    ids::{AttemptId, HostId},
    retention::Policy,
};
use sqlx::Connection as _;
use tokio::{sync::mpsc, time::timeout};

use super::{Error, STEP_LIMIT, unlink};
use crate::{
    agent::Agent,
    drive::{Caps, Listed, list},
};

/// Directories that the database is asked about at once.
const BATCH: usize = 500;

/// One walk, for hosts that share a logs root.
pub(super) async fn walk(agents: &[Arc<Agent>], policy: Policy) -> Result<(), Error> {
    let Some(any) = agents.first() else { return Ok(()) };
    if !super::is_there(any).await {
        return Ok(());
    }
    let hosts: Vec<HostId> = agents.iter().map(|agent| agent.host).collect();
    let (sender, mut batches) = mpsc::channel(1);
    let runs = any.layout.logs.join("runs");
    // Ends when nobody takes its batches any more.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = find(&runs, &sender) {
            tracing::warn!(path = %runs.display(), %error, "the directories of runs can't all be read");
        }
    });
    while let Some(attempts) = batches.recv().await {
        let asked = async { leftovers::unlisted(&mut *any.pool.acquire().await?, &hosts, &attempts).await };
        for left in timeout(STEP_LIMIT, asked).await?? {
            if let Some(agent) = agents.iter().find(|agent| agent.host == left.host) {
                settle(agent, &left, policy).await?;
            }
        }
    }
    Ok(())
}

/// Names of directories `<run>/<run job>/<attempt>`, in batches.
fn find(runs: &Path, batches: &mpsc::Sender<Vec<AttemptId>>) -> io::Result<()> {
    let mut batch = Vec::new();
    for run in directories(runs)? {
        // What is removed meanwhile is not missed.
        for run_job in directories(&run?).into_iter().flatten().flatten() {
            for attempt in directories(&run_job).into_iter().flatten().flatten() {
                let name = attempt.file_name().and_then(|name| name.to_str());
                batch.extend(name.and_then(|name| name.parse::<AttemptId>().ok()));
                if batch.len() == BATCH && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return Ok(());
                }
            }
        }
    }
    if !batch.is_empty() {
        // Nobody takes it only if nobody wants it.
        let _ = batches.blocking_send(batch);
    }
    Ok(())
}

/// Directories in a directory; no links to any. None, if it is not there.
fn directories(path: &Path) -> io::Result<impl Iterator<Item = io::Result<std::path::PathBuf>> + use<>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let directory = |entry: io::Result<fs::DirEntry>| match entry {
        Ok(entry) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => Some(Ok(entry.path())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    };
    Ok(entries.into_iter().flatten().filter_map(directory))
}

/// Lists the files of an attempt, or removes its directory if it has none and is old.
async fn settle(agent: &Agent, left: &Leftover, policy: Policy) -> Result<(), Error> {
    let dir = agent.layout.attempt_of(left.run, left.run_job, left.attempt);
    let limits = &agent.limits;
    let caps = Caps { files: limits.artifact_files, bytes: limits.artifact_bytes };
    let listing = tokio::task::spawn_blocking(move || list(&dir, caps));
    let listed = listing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let Listed { files, left_out } = match listed {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(attempt.id = %left.attempt, %error, "what an attempt left can't be read; the next walk will try");
            return Ok(());
        }
    };
    if !files.is_empty() {
        let origin = artifacts::Origin {
            run: left.run,
            run_job: left.run_job,
            attempt: left.attempt,
            host: left.host,
            root: agent.layout.root,
            left_at: Some(left.ended_at),
        };
        let stored = async { artifacts::insert(&mut *agent.pool.acquire().await?, origin, &files).await };
        timeout(STEP_LIMIT, stored).await??;
        tracing::info!(attempt.id = %left.attempt, files = files.len(), left_out, "what a lost attempt left is listed");
        return Ok(());
    }
    if policy.max_age.is_none_or(|age| left.now.signed_duration_since(left.ended_at) <= age) {
        return Ok(());
    }
    let noted = async {
        let mut connection = agent.pool.acquire().await?;
        let mut tx = connection.begin().await?;
        leftovers::removed(&mut tx, left, &agent.host_name, &Agent::actor()).await?;
        tx.commit().await?;
        Ok::<_, cyberbrain_common::db::Error>(())
    };
    timeout(STEP_LIMIT, noted).await??;
    let (root, dir) =
        (agent.layout.logs.clone(), agent.layout.attempt_of(left.run, left.run_job, left.attempt));
    let relative = dir.relative_root().to_owned();
    let removing = tokio::task::spawn_blocking(move || unlink::remove_tree(&root, &relative));
    if let Err(error) = removing.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        tracing::warn!(attempt.id = %left.attempt, %error, "an empty directory can't be removed; the next walk will try");
    }
    Ok(())
}
