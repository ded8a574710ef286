//! The logs of allow-listed containers of this host, since each was last read by a success of the same job.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use cyberbrain_common::db::{
    self,
    staging::{AllowedContainer, allowed_containers, cursors},
    supervision::Assignment,
};
use cyberbrain_core::staging::{
    InventoryContainer, LOG_INDEX_FILE, LOGS_FOLDER, LogIndex, LogLine, LogSource, LogStream, Window,
};
use futures::StreamExt;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::{Error, Read, put_json};
use crate::{
    agent::Agent,
    layout::AttemptDir,
    runtime::{self, ContainerId, Follow, LineEnd, LogRequest},
};

/// How far back a container is read for the first time.
const FIRST_WINDOW: TimeDelta = TimeDelta::hours(24);
/// Containers in one staging.
const MAX_CONTAINERS: usize = 200;
/// Beyond the cap lines are only counted, up to this many times the cap.
const COUNTED_CAPS: u64 = 16;

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
    let (allowed, cursors) = {
        let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
        (
            allowed_containers(&mut connection, agent.host).await?,
            cursors(&mut connection, &job.task_key, agent.host).await?,
        )
    };
    let folder = dir.input().join(LOGS_FOLDER);
    let write = |source| Error::Write { path: folder.clone(), source };
    tokio::fs::create_dir_all(&folder).await.map_err(write)?;
    tokio::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).await.map_err(write)?;
    let mut index = LogIndex::default();
    let mut read = Vec::new();
    let containers = if allowed.is_empty() { Vec::new() } else { agent.runtime.inventory().await? };
    let wanted = containers.into_iter().filter(|container| is_allowed(&allowed, container));
    for (number, container) in wanted.take(MAX_CONTAINERS).enumerate() {
        let file = format!("{number:03}.log");
        // As exact as the database keeps it.
        let until = Utc::now().trunc_subsecs(6);
        let since = cursors.get(&container.name).copied().unwrap_or(until - FIRST_WINDOW);
        let copied = copy(agent, &container, &folder.join(&file), Window { from: since, to: until }).await?;
        let Some(Copied { bytes, dropped_bytes }) = copied else { continue };
        read.push(Read { container: container.name.clone(), until });
        index.sources.push(LogSource {
            container_id: container.id,
            name: container.name,
            image: container.image,
            host: agent.host_name.clone(),
            file,
            since: Some(since),
            until,
            bytes,
            dropped_bytes,
        });
    }
    put_json(&folder.join(LOG_INDEX_FILE), &index).await?;
    Ok(StagedLogs { window: span(&index), read })
}

fn is_allowed(allowed: &[AllowedContainer], container: &InventoryContainer) -> bool {
    allowed.iter().any(|allowed| allowed.covers(&container.id, &container.name))
}

fn span(index: &LogIndex) -> Option<Window> {
    let from = index.sources.iter().filter_map(|source| source.since).min()?;
    let to = index.sources.iter().map(|source| source.until).max()?;
    Some(Window { from, to })
}

struct Copied {
    bytes: u64,
    dropped_bytes: u64,
}

/// Copies one log into a file; `None` if the container is gone. A driver whose logs can't be read counts as empty.
async fn copy(
    agent: &Agent,
    container: &InventoryContainer,
    path: &Path,
    window: Window,
) -> Result<Option<Copied>, Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let cap = agent.limits.staged_log_bytes;
    // The cursor itself was read last time: lines strictly after it are new, lines at it are not.
    let after = window.from - TimeDelta::nanoseconds(1);
    let source = runtime::LogSource::Any(ContainerId::new(container.id.clone()));
    let mut lines = agent.runtime.logs(LogRequest { source, after: Some(after), follow: Follow::No });
    let mut file = BufWriter::new(tokio::fs::File::create(path).await.map_err(write)?);
    let mut text = Pieces::default();
    let (mut bytes, mut dropped_bytes) = (0_u64, 0_u64);
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(runtime::Error::NotFound { .. }) => return Ok(None),
            Err(error @ (runtime::Error::Refused { .. } | runtime::Error::Engine { .. })) => {
                tracing::warn!(
                    container.name = container.name,
                    error = &error as &dyn std::error::Error,
                    "a container's log can't be read"
                );
                break;
            }
            Err(error) => return Err(error.into()),
        };
        if line.at >= window.to {
            break;
        }
        let Some(whole) = text.take(&line) else { continue };
        let written = format!("{}\n", LogLine { at: whole.at, stream: whole.stream, text: &whole.text });
        if bytes + written.len() as u64 > cap {
            dropped_bytes += written.len() as u64;
            if dropped_bytes > cap * COUNTED_CAPS {
                break;
            }
        } else {
            bytes += written.len() as u64;
            file.write_all(written.as_bytes()).await.map_err(write)?;
        }
    }
    file.flush().await.map_err(write)?;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).await.map_err(write)?;
    Ok(Some(Copied { bytes, dropped_bytes }))
}

/// A whole line, fit for a text file.
struct Whole {
    at: DateTime<Utc>,
    stream: LogStream,
    text: String,
}

/// Puts the pieces of long lines together, per stream, up to a bound.
#[derive(Default)]
struct Pieces(BTreeMap<LogStream, (DateTime<Utc>, Vec<u8>)>);

impl Pieces {
    /// Longest line; the rest of a longer one is left out.
    const MAX_BYTES: usize = 256 * 1024;

    fn take(&mut self, piece: &runtime::LogLine) -> Option<Whole> {
        let (at, gathered) = self.0.entry(piece.stream).or_insert_with(|| (piece.at, Vec::new()));
        let room = Self::MAX_BYTES - gathered.len();
        gathered.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
        match piece.end {
            LineEnd::Cut => None,
            LineEnd::Newline => {
                let text = String::from_utf8_lossy(gathered).replace(['\r', '\n'], " ");
                let whole = Whole { at: *at, stream: piece.stream, text };
                self.0.remove(&piece.stream);
                Some(whole)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cyberbrain_core::staging::{ContainerState, Health};

    use super::*;

    fn container(id: &str, name: &str) -> InventoryContainer {
        InventoryContainer {
            id: id.into(),
            name: name.into(),
            image: String::new(),
            image_id: String::new(),
            state: ContainerState::Running,
            health: Health::None,
            created_at: DateTime::UNIX_EPOCH,
            restart_count: 0,
            networks: Vec::new(),
            ports: Vec::new(),
            mounts: Vec::new(),
            labels: BTreeMap::new(),
            references: Vec::new(),
            links: Vec::new(),
            host_ports: Vec::new(),
        }
    }

    #[test]
    fn an_entry_covers_its_container_and_a_recreated_one_of_that_name() {
        let id = "0123456789abcdef0123456789abcdef";
        let allow = |id: &str, name: &str| [AllowedContainer { id: id.into(), name: name.into() }];
        for (allowed, covered) in [
            (allow(id, ""), true),
            (allow("0123456789ab", ""), true),
            (allow("0123", ""), false),
            (allow("web", ""), true),
            (allow("fedcba9876543210", "web"), true),
            (allow("fedcba9876543210", "we"), false),
            (allow("fedcba9876543210", ""), false),
        ] {
            assert_eq!(is_allowed(&allowed, &container(id, "web")), covered, "{allowed:?}");
        }
    }

    #[test]
    fn pieces_of_two_streams_are_kept_apart() {
        let mut pieces = Pieces::default();
        let piece = |stream, text: &str, end| runtime::LogLine {
            at: DateTime::UNIX_EPOCH,
            stream,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            end,
        };
        assert!(pieces.take(&piece(LogStream::Stdout, "long ", LineEnd::Cut)).is_none());
        assert_eq!(pieces.take(&piece(LogStream::Stderr, "a\rb", LineEnd::Newline)).unwrap().text, "a b");
        assert_eq!(
            pieces.take(&piece(LogStream::Stdout, "line", LineEnd::Newline)).unwrap().text,
            "long line"
        );
        for _ in 0..40 {
            assert!(pieces.take(&piece(LogStream::Stdout, &"x".repeat(16_000), LineEnd::Cut)).is_none());
        }
        let whole = pieces.take(&piece(LogStream::Stdout, "end", LineEnd::Newline)).unwrap();
        assert_eq!(whole.text.len(), Pieces::MAX_BYTES);
    }
}
