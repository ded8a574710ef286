//! The logs of allow-listed containers of this host, since each was last read by a success of the same job.
//!
//! Guarantees that each line is in the window of exactly one success, by its time as the engine tells it, to the
//! nanosecond; what could not be read, or had no room, is said in the index and not passed over. Containers that have not
//! been read for longest come first. Deliberately absent: what the lines mean, which the worker finds out.

mod copy;
mod newest;
mod order;
mod pieces;

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use chrono::{SubsecRound, Utc};
use cyberbrain_common::db::{
    self,
    staging::{allowed_containers, cursors},
    supervision::Assignment,
};
use cyberbrain_core::staging::{
    LOG_INDEX_FILE, LOGS_FOLDER, LogIndex, LogParams, LogReading, LogSource, LogSpan, Window,
};
use tokio::time::Instant;

use self::copy::Copied;
use super::{Error, Read, put_json};
use crate::{agent::Agent, layout::AttemptDir};

/// Time for all logs of one staging. It leaves room for the rest of the staging.
const ALL_LIMIT: Duration = Duration::from_secs(480);
/// Time for the log of one container, so that a huge one leaves some to the others.
const ONE_LIMIT: Duration = Duration::from_secs(180);

/// What was staged.
pub(super) struct StagedLogs {
    pub read: Vec<Read>,
    pub window: Option<Window>,
}

pub(super) async fn stage(
    agent: &Arc<Agent>,
    job: &Assignment,
    dir: &AttemptDir,
) -> Result<StagedLogs, Error> {
    let params: LogParams = serde_json::from_value(job.params.clone())
        .map_err(|error| Error::Params { detail: error.to_string() })?;
    let span = params.span().map_err(|error| Error::Params { detail: error.to_string() })?;
    let (allowed, cursors) = {
        let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
        (
            allowed_containers(&mut connection, agent.host).await?,
            cursors(&mut connection, &job.task_key, agent.host).await?,
        )
    };
    let folder = dir.input().join(LOGS_FOLDER);
    make_folder(&folder).await?;
    let containers = if allowed.is_empty() { Vec::new() } else { agent.runtime.inventory().await? };
    let mut queue = order::by_need(containers, &allowed, &params, &cursors);
    let mut index = LogIndex { left_out: queue.left_out, ..LogIndex::default() };
    let mut read = Vec::new();
    let deadline = Instant::now() + ALL_LIMIT;
    for (number, container) in queue.wanted.drain(..).enumerate() {
        if Instant::now() >= deadline {
            order::leave_out(&mut index.left_out, &container.name);
            continue;
        }
        let file = format!("{number:03}.log");
        // Taken before the reading, and as exact as the database keeps it.
        let now = Utc::now().trunc_subsecs(6);
        let last = cursors.get(&container.name).copied();
        let window = span.window(last, now);
        let until = deadline.min(Instant::now() + ONE_LIMIT);
        let copied = copy::copy(agent, &container, &folder.join(&file), window, until).await?;
        let Some(Copied { kept, reading, .. }) = copied else { continue };
        if moves_on(span, reading) {
            read.push(Read { container: container.name.clone(), until: window.to });
        }
        index.sources.push(LogSource {
            container_id: container.id,
            name: container.name,
            image: container.image,
            host: agent.host_name.clone(),
            file,
            since: Some(window.from),
            until: window.to,
            bytes: kept.bytes,
            dropped_bytes: kept.dropped_bytes,
            dropped_lines: kept.dropped_lines,
            reading,
            state: Some(container.state),
            restart_count: container.restart_count,
            last_exit: container.last_exit,
        });
    }
    put_json(&folder.join(LOG_INDEX_FILE), &index).await?;
    Ok(StagedLogs { window: whole_span(&index), read })
}

/// Whether the next success goes on after this window. What was not read to its end is read again.
const fn moves_on(span: LogSpan, reading: LogReading) -> bool {
    match reading {
        LogReading::Complete => span.is_since_last(),
        LogReading::BrokenOff | LogReading::Unreadable => false,
    }
}

async fn make_folder(folder: &Path) -> Result<(), Error> {
    let made = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).await
    };
    made.await.map_err(|source| Error::Write { path: folder.to_owned(), source })
}

fn whole_span(index: &LogIndex) -> Option<Window> {
    let from = index.sources.iter().filter_map(|source| source.since).min()?;
    let to = index.sources.iter().map(|source| source.until).max()?;
    Some(Window { from, to })
}
