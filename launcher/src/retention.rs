//! Removes files of ended runs from this host: marks rows first, then unlinks, then notes that the files are gone.
//!
//! Guarantees: what is marked is unlinked by this pass or a later one, by us or a sibling, and counted once; nothing
//! outside the logs root is touched, whatever a worker named its files; each step is bounded. The decision is
//! `cyberbrain_core::retention`. Deliberately absent: uploads, and output of attempts that no owner ever stored files of.

use std::{ffi::CString, io, path::Path, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{
        self,
        kept_files::{self, Marked, Rest, Turn},
        runs::After,
    },
    metric,
    worker_log::attempt_dir,
};
use cyberbrain_core::{
    ids::ArtifactId,
    retention::{Cause, HeldFile, Next, Policy, Removal, Sweep},
};
use sqlx::Connection as _;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Agent,
    beneath::{Beneath, Found},
};

/// Between two looks at a host's files.
const PERIOD: Duration = Duration::from_secs(600);
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
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
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
    if kept_files::take_turn(&mut tx, agent.host).await? == Turn::Anothers {
        return Ok(Marking::Done);
    }
    let held = kept_files::held(&mut tx, agent.host).await?;
    let mut sweep = Sweep::new(policy, held.now, held.bytes);
    let mut after = None;
    let (removals, marking) = loop {
        let files = kept_files::oldest(&mut tx, agent.host, after, PAGE).await?;
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
        let of_cause = |removal: &&Removal| removal.cause == *cause;
        let ids: Vec<ArtifactId> = removals.iter().filter(of_cause).map(|removal| removal.id).collect();
        marked += kept_files::mark(&mut tx, &agent.host_name, &ids, *cause, &Agent::actor()).await?;
    }
    tx.commit().await?;
    if marked > 0 {
        tracing::info!(host = agent.host_name, files = marked, "files of ended runs are removed");
    }
    Ok(marking)
}

fn position(file: &HeldFile) -> After {
    After { created_at: file.stored_at, id: file.id.uuid() }
}

/// Unlinks a page of marked files; where the next page begins, if there is one.
async fn purge(agent: &Agent, after: Option<ArtifactId>) -> Result<Option<ArtifactId>, Error> {
    let asked = async {
        let mut connection = agent.pool.acquire().await?;
        kept_files::marked(&mut connection, agent.host, after, PAGE).await
    };
    let files = timeout(STEP_LIMIT, asked).await??;
    let next = files.last().map(|file| file.id);
    let root = agent.layout.logs.clone();
    let unlinking = tokio::task::spawn_blocking(move || unlink_all(&root, &files));
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

/// Those that are gone from the disk now, by us or before.
fn unlink_all(root: &Path, files: &[Marked]) -> Vec<ArtifactId> {
    let mut gone = Vec::new();
    for file in files {
        match unlink(root, file) {
            Ok(()) => gone.push(file.id),
            Err(error) => {
                tracing::warn!(artifact.id = %file.id, %error, "a file can't be removed; the next look will try");
            }
        }
    }
    gone
}

fn unlink(root: &Path, file: &Marked) -> io::Result<()> {
    match file.rest {
        Rest::Kept => remove_file(root, Path::new(&file.path)),
        Rest::Nothing { run, run_job, attempt } => {
            let dir = attempt_dir(run, run_job, attempt);
            // Beside what is listed: what was too much for the list. The path is made of ids.
            match std::fs::remove_dir_all(root.join(&dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            // Of the RunJob, then of the Run, unless somebody else has something there.
            remove_file(root, Path::new(&dir))
        }
    }
}

/// Unlinks what is at a path below the root, and then the directories above it that are empty. Follows no link.
fn remove_file(root: &Path, path: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for part in path.components() {
        let std::path::Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        names.push(CString::new(name.as_encoded_bytes())?);
    }
    let Some(last) = names.pop() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut directories = vec![Beneath::open(root)?];
    for name in &names {
        let found = directories.last().map(|directory| directory.find(name)).transpose()?.flatten();
        match found {
            Some(Found::Directory(inner)) => directories.push(inner),
            // Nothing is there, or something that we did not make.
            Some(Found::File(_) | Found::Other) | None => break,
        }
    }
    if directories.len() == names.len() + 1
        && let Some(directory) = directories.last()
    {
        directory.unlink(&last)?;
    }
    // `runs` itself stays.
    for (above, name) in directories.iter().zip(&names).skip(1).rev() {
        above.remove_if_empty(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("runs/r/j/a/out");
        fs::create_dir_all(&dir).unwrap();
        (root, dir)
    }

    #[test]
    fn a_file_goes_with_the_directories_that_it_leaves_empty() {
        let (root, out) = root();
        fs::write(out.join("x"), "x").unwrap();
        fs::write(out.join("y"), "y").unwrap();
        remove_file(root.path(), Path::new("runs/r/j/a/out/x")).unwrap();
        assert!(!out.join("x").exists() && out.join("y").exists());
        remove_file(root.path(), Path::new("runs/r/j/a/out/y")).unwrap();
        assert!(!root.path().join("runs/r").exists() && root.path().join("runs").exists());
        remove_file(root.path(), Path::new("runs/r/j/a/out/y")).unwrap();
    }

    #[test]
    fn links_that_a_worker_left_lead_nowhere() {
        let (root, out) = root();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "p").unwrap();
        symlink(outside.path(), out.join("dir")).unwrap();
        symlink(outside.path().join("precious"), out.join("file")).unwrap();
        for path in ["runs/r/j/a/out/dir/precious", "runs/r/j/a/out/file"] {
            remove_file(root.path(), Path::new(path)).unwrap();
        }
        for path in ["../precious", "/etc/passwd", "runs/../../x", ""] {
            assert!(remove_file(root.path(), Path::new(path)).is_err(), "{path}");
        }
        assert!(outside.path().join("precious").exists());
        assert!(fs::symlink_metadata(out.join("file")).is_err(), "the link itself is gone");
        assert!(fs::symlink_metadata(out.join("dir")).is_ok());
    }
}
