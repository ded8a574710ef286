//! One container's log, copied into a file.

use std::{io, os::unix::fs::PermissionsExt, path::Path};

use chrono::TimeDelta;
use cyberbrain_core::staging::{InventoryContainer, LogLine, LogReading, Window};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{
    super::Error,
    newest::{Kept, Newest},
    pieces::{Pieces, Whole},
};
use crate::{
    agent::Agent,
    runtime::{self, ContainerId, Follow, LogLines, LogRequest},
};

/// The pieces of a long line may be stamped one after the other: its later ones must not be taken for a line of their own
/// because its first one lies before the window.
const LONGEST_LINE: TimeDelta = TimeDelta::seconds(2);

pub(super) struct Copied {
    pub kept: Kept,
    pub reading: LogReading,
    error: Option<runtime::Error>,
}

/// Copies the lines of the window; `None` if the container is gone. The engine's errors break the reading off and are said,
/// for one bad log must not keep the others from being read.
pub(super) async fn copy(
    agent: &Agent,
    container: &InventoryContainer,
    path: &Path,
    window: Window,
    deadline: Instant,
) -> Result<Option<Copied>, Error> {
    let source = runtime::LogSource::Any(ContainerId::new(container.id.clone()));
    let after = Some(window.from - LONGEST_LINE);
    let lines = agent.runtime.logs(LogRequest { source, after, follow: Follow::No });
    let target = Target { path, cap: agent.limits.staged_log_bytes, window };
    let copied = read(lines, &target, deadline).await;
    let copied = copied.map_err(|source| Error::Write { path: path.to_owned(), source })?;
    if let Some(error) = copied.as_ref().and_then(|copied| copied.error.as_ref()) {
        tracing::warn!(
            container.name = container.name,
            error = error as &dyn std::error::Error,
            "a container's log can't be read to its end; it is read again the next time"
        );
    }
    Ok(copied)
}

struct Target<'a> {
    path: &'a Path,
    cap: u64,
    window: Window,
}

/// Whether there were lines before an error.
#[derive(Clone, Copy)]
enum Seen {
    Nothing,
    Lines,
}

async fn read(mut lines: LogLines, target: &Target<'_>, deadline: Instant) -> io::Result<Option<Copied>> {
    let mut file = Newest::create(target.path, target.cap).await?;
    let mut pieces = Pieces::default();
    let mut seen = Seen::Nothing;
    let (reading, error) = loop {
        match timeout_at(deadline, lines.next()).await {
            Ok(Some(Ok(line))) => {
                seen = Seen::Lines;
                if let Some(whole) = pieces.take(&line) {
                    put(&mut file, &whole, target.window).await?;
                }
            }
            Ok(Some(Err(runtime::Error::NotFound { .. }))) => return Ok(None),
            Ok(Some(Err(error))) => {
                let reading = match seen {
                    Seen::Nothing => LogReading::Unreadable,
                    Seen::Lines => LogReading::BrokenOff,
                };
                break (reading, Some(error));
            }
            Ok(None) => break (LogReading::Complete, None),
            Err(_) => break (LogReading::BrokenOff, None),
        }
    };
    for whole in pieces.rest() {
        put(&mut file, &whole, target.window).await?;
    }
    let kept = file.finish().await?;
    tokio::fs::set_permissions(target.path, std::fs::Permissions::from_mode(0o644)).await?;
    Ok(Some(Copied { kept, reading, error }))
}

/// A line belongs to the window in which it began. The streams of a container may be stamped out of order, so one that comes
/// after it ends nothing.
async fn put(file: &mut Newest, whole: &Whole, window: Window) -> io::Result<()> {
    if whole.at < window.from || whole.at >= window.to {
        return Ok(());
    }
    let line = LogLine { at: whole.at, stream: whole.stream, text: &whole.text };
    file.line(format!("{line}\n").as_bytes()).await
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
