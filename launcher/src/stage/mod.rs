//! Stages what one worker is given: files under `in/`, read-only for it (contract: `core::staging`).
//!
//! Guarantees: a worker gets the logs of allow-listed containers of its own host and nothing else of anybody's; the inventory of
//! other containers only if it was asked for; what is
//! read is bounded; how far logs were read is written down beside `in/`, so that whoever stores the success (which may
//! be another launcher) moves the cursors on. Staging again is harmless.

mod gpus;
mod inventory;
mod logs;
mod uploads;

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{
    self,
    staging::{self as rows, Cursor},
    supervision::Assignment,
};
use cyberbrain_core::{
    job_kind::JobKind,
    staging::{DIRECTIVE_FILE, JOB_FILE, JobInput, PREVIOUS_FILE},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{agent::Agent, layout::AttemptDir, runtime};

/// All of one attempt's staging.
const STAGE_LIMIT: Duration = Duration::from_secs(600);

/// Why inputs could not be staged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} can't be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what to stage can't be read from the database")]
    Db(#[from] db::Error),
    #[error("the engine can't be asked for containers or their logs")]
    Engine(#[from] runtime::Error),
    #[error("the upload {name} is not on this host")]
    UploadMissing { name: String },
    /// They can't be staged for on another host either.
    #[error("the params are wrong: {detail}")]
    Params { detail: String },
    #[error("a staged file can't be put into JSON")]
    Json(#[from] serde_json::Error),
    #[error("staging took longer than {} s", STAGE_LIMIT.as_secs())]
    TooSlow,
}

/// What was staged, as far as the container's plan has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staged {
    /// Whether there are uploads to mount.
    pub uploads: bool,
}

/// What the launcher keeps for itself beside the staged files.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    cursors: Vec<Read>,
}

/// How far one container's log was read.
#[derive(Debug, Serialize, Deserialize)]
struct Read {
    container: String,
    until: DateTime<Utc>,
}

/// Stages everything for one attempt.
pub(crate) async fn stage(agent: &Arc<Agent>, job: &Assignment, dir: &AttemptDir) -> Result<Staged, Error> {
    match timeout(STAGE_LIMIT, stage_all(agent, job, dir)).await {
        Ok(staged) => staged,
        Err(_) => Err(Error::TooSlow),
    }
}

async fn stage_all(agent: &Arc<Agent>, job: &Assignment, dir: &AttemptDir) -> Result<Staged, Error> {
    prepare(agent, dir).await?;
    let uploads = uploads::stage(&agent.layout.uploads, job, dir).await?;
    let mut notes = Notes::default();
    let window = match JobKind::of(&job.task_key) {
        // They read nothing of the installation.
        JobKind::Custom => None,
        JobKind::LogTriage => {
            let staged = logs::stage(agent, job, dir).await?;
            notes.cursors = staged.read;
            stage_previous(agent, job, dir).await?;
            staged.window
        }
        JobKind::GpuReport => Some(gpus::stage(agent, job, dir).await?),
        JobKind::ServiceMap => {
            inventory::stage(agent, job, dir).await?;
            stage_previous(agent, job, dir).await?;
            None
        }
    };
    let input = JobInput {
        run_id: job.run,
        run_job_id: job.run_job,
        attempt: job.number,
        task_key: job.task_key.clone(),
        host: agent.host_name.clone(),
        directive: job.directive.clone(),
        params: &job.params,
        window,
        gpus: job.gpus.clone(),
        inputs: job.inputs.iter().map(uploads::file_name).collect(),
        llm: agent.llm_access(job.spec.network),
    };
    put(&dir.input().join(DIRECTIVE_FILE), input.directive.text.as_bytes()).await?;
    put_json(&dir.input().join(JOB_FILE), &input).await?;
    put_json(&dir.staged(), &notes).await?;
    Ok(Staged { uploads })
}

async fn prepare(agent: &Arc<Agent>, dir: &AttemptDir) -> Result<(), Error> {
    let (layout, dir) = (agent.layout.clone(), dir.clone());
    let root = dir.root().to_owned();
    let made = tokio::task::spawn_blocking(move || {
        match std::fs::remove_dir_all(dir.input()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        layout.prepare(&dir)
    });
    let made = made.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    made.map_err(|source| Error::Write { path: root, source })
}

/// The last success of this job on this host, if there was one.
async fn stage_previous(agent: &Agent, job: &Assignment, dir: &AttemptDir) -> Result<(), Error> {
    let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
    match rows::previous_result(&mut connection, &job.task_key, agent.host).await {
        Ok(Some(previous)) => put_json(&dir.input().join(PREVIOUS_FILE), &previous).await,
        Ok(None) => Ok(()),
        // An older release's result: the job compares with nothing.
        Err(error @ db::Error::Malformed { .. }) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the previous result is not staged");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// How far the logs that this attempt was given had been read.
pub(crate) async fn cursors(dir: &AttemptDir) -> Vec<Cursor> {
    let notes = match tokio::fs::read(dir.staged()).await {
        Ok(bytes) => serde_json::from_slice::<Notes>(&bytes).map_err(io::Error::from),
        Err(error) => Err(error),
    };
    match notes {
        Ok(notes) => notes
            .cursors
            .into_iter()
            .map(|read| Cursor { container_name: read.container, until: read.until })
            .collect(),
        Err(error) => {
            // The next collection reads the same lines again.
            tracing::warn!(error = &error as &dyn std::error::Error, "how far logs were read is not known");
            Vec::new()
        }
    }
}

/// Removes what was staged: copies of other people's logs should not outlive their use.
pub(crate) async fn clear(dir: &AttemptDir) {
    for path in [dir.input(), dir.uploads()] {
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), error = &error as &dyn std::error::Error, "staged files could not be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

async fn put_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    put(path, &serde_json::to_vec(value)?).await
}

/// Writes a file that the worker can read, whatever our umask is.
async fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = async {
        tokio::fs::write(path, bytes).await?;
        tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).await
    };
    written.await.map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cursors_survive_their_launcher() {
        let root = tempfile::tempdir().unwrap();
        let dir = AttemptDir::at(root.path(), "a");
        std::fs::create_dir_all(dir.root()).unwrap();
        assert!(cursors(&dir).await.is_empty());
        let until = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        let notes = Notes { cursors: vec![Read { container: "web".into(), until }] };
        put_json(&dir.staged(), &notes).await.unwrap();
        assert_eq!(cursors(&dir).await, [Cursor { container_name: "web".into(), until }]);
    }
}
