//! `Segments`: the output of an attempt as one text, put together from what its owners wrote.

use std::{collections::VecDeque, io};

use axum::body::Body;
use bytes::Bytes;
use cyberbrain_common::{
    byte_range::ByteRange,
    db::worker_logs::LoggedAttempt,
    file_token::Purpose,
    worker_log::{attempt_dir, segment_name},
};
use cyberbrain_core::ids::Fence;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};

use super::remote::{self, Reading, Remote};
use crate::problem::Problem;

/// The newest owners that are looked at. More than a few take a fault that repeats.
const MOST_OWNERS: i32 = 256;

/// The parts of an attempt's output, as of one look.
#[derive(Debug)]
pub(crate) struct Segments {
    remote: Remote,
    parts: VecDeque<Piece>,
}

/// A part of a file.
#[derive(Debug)]
struct Piece {
    path: String,
    range: ByteRange,
}

/// Path of a segment below the logs root.
pub(super) fn path(attempt: &LoggedAttempt, fence: Fence) -> String {
    let dir = attempt_dir(attempt.run, attempt.run_job, attempt.attempt);
    format!("{dir}/{}", segment_name(fence))
}

/// Size of a segment; `None` if it is not there.
pub(super) async fn size(
    remote: &Remote,
    attempt: &LoggedAttempt,
    fence: Fence,
) -> Result<Option<u64>, Problem> {
    let first = ByteRange { first: 0, last: 0 };
    Ok(match remote.read(&path(attempt, fence), Purpose::Log, Some(first)).await? {
        Reading::Bytes { size, .. } => Some(size),
        Reading::Beyond => Some(0),
        Reading::Missing => None,
    })
}

impl Segments {
    /// Looks at what there is; the last `tail` bytes of it, or all.
    pub(crate) async fn look(
        remote: Remote,
        attempt: &LoggedAttempt,
        tail: Option<u64>,
    ) -> Result<Self, Problem> {
        let mut room = tail.unwrap_or(u64::MAX);
        let mut parts = VecDeque::new();
        let oldest = attempt.fence.0.saturating_sub(MOST_OWNERS - 1).max(1);
        for fence in (oldest..=attempt.fence.0).rev() {
            if room == 0 {
                break;
            }
            let fence = Fence(fence);
            let Some(size) = size(&remote, attempt, fence).await?.filter(|size| *size > 0) else { continue };
            let taken = size.min(room);
            room -= taken;
            let range = ByteRange { first: size - taken, last: size - 1 };
            parts.push_front(Piece { path: path(attempt, fence), range });
        }
        Ok(Self { remote, parts })
    }

    /// How many bytes it is.
    pub(crate) fn len(&self) -> u64 {
        self.parts.iter().map(|piece| piece.range.len()).sum()
    }

    /// The text; `held` is kept until it is through.
    pub(crate) fn into_body(self, held: impl Send + 'static) -> Body {
        let Self { remote, parts } = self;
        let pieces = stream::try_unfold((remote, parts), |(remote, mut parts)| async move {
            let Some(piece) = parts.pop_front() else { return Ok(None) };
            let bytes = read(&remote, &piece).await?;
            Ok::<_, io::Error>(Some((bytes, (remote, parts))))
        });
        Body::from_stream(pieces.try_flatten().map(move |chunk| {
            let _ = &held;
            chunk
        }))
    }
}

async fn read(
    remote: &Remote,
    piece: &Piece,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let reading = remote.read(&piece.path, Purpose::Log, Some(piece.range)).await;
    match reading.map_err(|problem| io::Error::other(problem.detail))? {
        Reading::Bytes { body, .. } => Ok(remote::bytes(body)),
        // The head of the answer has promised it.
        Reading::Beyond | Reading::Missing => Err(io::ErrorKind::NotFound.into()),
    }
}
