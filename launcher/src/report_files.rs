//! Copies the reports of ended runs to the logs root, for people who look at files: `runs/<run>/report.md` and `report.json`.
//!
//! Guarantees: each report is written once in the installation, on a host that the run ran on if one of them is up, else on any;
//! what was cut off is written by the next look of whoever comes first; a file is whole or not there; each look is bounded. The
//! files are listed as artifacts of the run, so that retention removes them as it does others, and none comes back after.
//! Deliberately absent: what a report says, and its HTML, which the api makes when it is asked.

use std::{ffi::CString, io, path::Path, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{
        self,
        artifacts::{ArtifactFile, ArtifactType},
        kept_files::Location,
        report_files::{self, FILES, Unfiled, Wanted},
        runs::After,
    },
    worker_log::run_dir,
};
use cyberbrain_core::ids::{HostId, RunId};
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{agent::Agent, beneath::Beneath};

/// Between two looks for reports that are in no file.
const PERIOD: Duration = Duration::from_secs(5);
/// One report with its rows.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// Reports of one look; the next one goes on.
const MAX_STEPS: usize = 500;
/// Reports that can't be written before a look is broken off: then it is the disk, not what is in the place of one file.
const MAX_FAILURES: usize = 10;

const MARKDOWN_FILE: &str = "report.md";
const JSON_FILE: &str = "report.json";

/// Writes the reports that these hosts are to have until `shutdown`. They share a logs root.
pub(crate) async fn run(agents: Vec<Arc<Agent>>, shutdown: CancellationToken) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            looked = look(&agents) => if let Err(error) = looked {
                tracing::warn!(error = &error as &dyn std::error::Error, "reports could not be written to files; the next look will try");
            },
            // What was not committed is written again.
            () = shutdown.cancelled() => return,
        }
    }
}

/// Why a look was broken off.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the database did not take it")]
    Db(#[from] db::Error),
    #[error("it took more than {} s", STEP_LIMIT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
}

async fn look(agents: &[Arc<Agent>]) -> Result<(), Error> {
    let Some(any) = agents.first() else { return Ok(()) };
    let hosts: Vec<HostId> = agents.iter().map(|agent| agent.host).collect();
    let (mut after, mut failures) = (None, 0);
    for _ in 0..MAX_STEPS {
        match timeout(STEP_LIMIT, step(any, &hosts, after)).await?? {
            Step::Settled(run) => after = Some(run),
            Step::Failed(run) if failures < MAX_FAILURES => (after, failures) = (Some(run), failures + 1),
            Step::Failed(_) | Step::NothingLeft => break,
        }
    }
    Ok(())
}

/// What became of the next Run.
enum Step {
    NothingLeft,
    Settled(After),
    /// It is left as it was.
    Failed(After),
}

async fn step(agent: &Agent, hosts: &[HostId], after: Option<After>) -> Result<Step, db::Error> {
    let mut connection = agent.pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let Some(Unfiled { run, finished_at, wanted }) = report_files::next(&mut tx, hosts, after).await? else {
        return Ok(Step::NothingLeft);
    };
    let at = After { created_at: finished_at, id: run.uuid() };
    let (host, markdown, json) = match wanted {
        Wanted::Files { host, markdown, json } => (host.unwrap_or(agent.host), markdown, json),
        Wanted::Nothing => {
            report_files::settle(&mut tx, run).await?;
            tx.commit().await?;
            return Ok(Step::Settled(at));
        }
    };
    let root = agent.layout.logs.clone();
    let writing = tokio::task::spawn_blocking(move || write(&root, run, &markdown, &json));
    match writing.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(files) => {
            report_files::filed(&mut tx, run, Location { host, root: agent.layout.root }, &files).await?;
            tx.commit().await?;
            Ok(Step::Settled(at))
        }
        Err(error) => {
            tracing::warn!(run.id = %run, %error, "a report can't be written to a file; the next look will try");
            Ok(Step::Failed(at))
        }
    }
}

/// Puts both forms on the disk.
fn write(root: &Path, run: RunId, markdown: &str, json: &str) -> io::Result<[ArtifactFile; FILES]> {
    let dir = run_dir(run);
    let mut directory = Beneath::open(root)?;
    for name in dir.split('/') {
        let inner = directory.directory(&CString::new(name)?)?;
        directory.sync()?;
        directory = inner;
    }
    let put = |name: &str, text: &str, mime_type: &'static str| {
        directory.put(&CString::new(name)?, text.as_bytes())?;
        Ok::<_, io::Error>(ArtifactFile {
            kind: ArtifactType::Report,
            path: format!("{dir}/{name}"),
            size_bytes: text.len() as u64,
            sha256: Sha256::digest(text).into(),
            mime_type,
        })
    };
    let files = [put(MARKDOWN_FILE, markdown, "text/markdown")?, put(JSON_FILE, json, "application/json")?];
    directory.sync()?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_was_cut_off_is_written_whole_and_nothing_is_left_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let run = RunId::from(uuid::Uuid::from_u128(7));
        let dir = root.path().join(run_dir(run));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("report.md"), "ha").unwrap();
        fs::write(dir.join(".report.json.part"), "{").unwrap();
        let files = write(root.path(), run, "# whole\n", "{}").unwrap();
        assert_eq!(fs::read_to_string(dir.join("report.md")).unwrap(), "# whole\n");
        assert_eq!(fs::read_to_string(dir.join("report.json")).unwrap(), "{}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing else");
        assert_eq!(files[0].path, format!("runs/{run}/report.md"));
        assert_eq!((files[0].size_bytes, files[1].size_bytes), (8, 2));
    }

    #[test]
    fn nothing_is_written_where_a_link_leads() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let [linked, inner] = [1, 2].map(|n| RunId::from(uuid::Uuid::from_u128(n)));
        fs::create_dir(root.path().join("runs")).unwrap();
        symlink(outside.path(), root.path().join(run_dir(linked))).unwrap();
        write(root.path(), linked, "x", "x").unwrap_err();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        // A link in place of a file is replaced, not followed.
        let precious = outside.path().join("precious");
        fs::write(&precious, "p").unwrap();
        let dir = root.path().join(run_dir(inner));
        fs::create_dir(&dir).unwrap();
        symlink(&precious, dir.join("report.md")).unwrap();
        symlink(&precious, dir.join(".report.json.part")).unwrap();
        write(root.path(), inner, "x", "x").unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "p");
        assert!(fs::symlink_metadata(dir.join("report.md")).unwrap().is_file());
    }
}
