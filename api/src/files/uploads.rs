//! `UploadStore`: the directory that holds uploads, each in a file that is called as its id.
//!
//! Guarantees that an upload is complete and on the disk before its row says that it is there, and that what did not
//! become an upload is removed; after a crash, at the next start. The client's name is in the row only, never in a path.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use axum::body::Body;
use cyberbrain_common::{
    db::uploads::{self, NewUpload, StoredUpload},
    file_root,
    ids::fresh,
};
use cyberbrain_core::{
    audit::Actor,
    ids::{RootId, UploadId},
};
use http_body_util::BodyExt as _;
use sqlx::Connection as _;
use tokio::time::timeout;

use super::{keep::purge, partial::Partial};
use crate::{
    app::App,
    problem::{FieldError, Kind, Part, Problem},
};

/// How long a client may send nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// What files are called while they come in.
const PARTIAL: &str = ".partial-";
/// Nothing comes in that was last written to this long ago.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Where uploads are kept, and how large they may be.
#[derive(Debug, Clone)]
pub struct UploadStore {
    root: PathBuf,
    max_bytes: u64,
}

/// What the client says of a file.
#[derive(Debug)]
pub(crate) struct Described {
    pub name: String,
    pub mime_type: String,
    /// How many bytes are to come, if it says so.
    pub announced: Option<u64>,
}

impl UploadStore {
    #[must_use]
    pub fn new(root: PathBuf, max_bytes: u64) -> Self {
        Self { root, max_bytes }
    }

    /// Takes in one file.
    ///
    /// # Errors
    /// `payload-too-large`, `storage-full`, or `bad-request` when the body breaks off; nothing is left of it then.
    pub(crate) async fn take_in(
        &self,
        app: &App,
        described: Described,
        body: Body,
        actor: Actor,
    ) -> Result<StoredUpload, Problem> {
        if described.announced.is_some_and(|bytes| bytes > self.max_bytes) {
            return Err(self.too_large());
        }
        let id: UploadId = fresh();
        tokio::fs::create_dir_all(&self.root).await.map_err(|error| unwritable(&error))?;
        let Some(root) = self.root_id().await.map_err(|error| unwritable(&error))? else {
            return Err(unwritable(&io::ErrorKind::NotFound.into()));
        };
        let path = self.root.join(format!("{PARTIAL}{id}"));
        let mut partial = Partial::create(path).await.map_err(|error| unwritable(&error))?;
        self.receive(body, &mut partial).await?;
        let sha256 = partial.sync().await.map_err(|error| unwritable(&error))?;
        let Described { name, mime_type, .. } = described;
        let upload = NewUpload { id, name, size_bytes: partial.size(), sha256, mime_type, root };
        let path = self.path(id);
        let app = app.clone();
        // By itself, so that a client who leaves now does not leave half of it.
        let stored = tokio::spawn(async move { publish(&app, partial, path, upload, actor).await });
        stored.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
    }

    async fn receive(&self, mut body: Body, partial: &mut Partial) -> Result<(), Problem> {
        loop {
            let frame = timeout(IDLE_LIMIT, body.frame()).await.map_err(|_| broken_off("it stood still"))?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|_| broken_off("the connection was closed"))?;
            let Ok(data) = frame.into_data() else { continue };
            if partial.size() + data.len() as u64 > self.max_bytes {
                return Err(self.too_large());
            }
            partial.write(&data).await.map_err(|error| unwritable(&error))?;
        }
    }

    /// Removes the file of an upload whose row says so, if it lies in our directory. Where that fails, the next look of
    /// [`super::UploadKeeper`] tries again.
    pub(crate) async fn remove(&self, app: &App, upload: UploadId, root: Option<RootId>) {
        let removed = async {
            let own = self.root_id().await.map_err(|error| Problem::internal(&error))?;
            if root.is_none_or(|root| own == Some(root)) {
                purge(&mut *app.connection().await?, self, &[upload]).await?;
            }
            Ok::<_, Problem>(())
        };
        if let Err(problem) = removed.await {
            tracing::warn!(upload.id = %upload, problem.detail, "the file of a deleted upload can't be removed yet");
        }
    }

    /// Which directory it is; `None` while there is none.
    pub(super) async fn root_id(&self) -> io::Result<Option<RootId>> {
        let root = self.root.clone();
        let read = move || if root.is_dir() { file_root::id_of(&root).map(Some) } else { Ok(None) };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Unlinks files of uploads; those that are gone now, by us or before. Links are not followed: they go themselves.
    pub(super) async fn unlink(&self, uploads: &[UploadId]) -> Vec<UploadId> {
        let files: Vec<_> = uploads.iter().map(|id| (*id, self.path(*id))).collect();
        let unlinking = tokio::task::spawn_blocking(move || {
            let mut gone = Vec::with_capacity(files.len());
            for (id, path) in files {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "an upload can't be removed; the next look will try");
                    }
                    Ok(()) | Err(_) => gone.push(id),
                }
            }
            gone
        });
        unlinking.await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "unlinking was broken off");
            Vec::new()
        })
    }

    /// Removes what processes that were killed had begun to take in. Files of other names are not ours to remove.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PARTIAL));
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let old = written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > FORGOTTEN));
            if ours && old && std::fs::remove_file(entry.path()).is_ok() {
                tracing::info!(path = %entry.path().display(), "removed half an upload");
            }
        }
    }

    fn path(&self, upload: UploadId) -> PathBuf {
        self.root.join(uploads::path_of(upload))
    }

    fn too_large(&self) -> Problem {
        let detail = format!("it has more than {} bytes (option --max-upload-mib)", self.max_bytes);
        let at = FieldError::new(Part::Body, "", &detail);
        Problem::new(Kind::PayloadTooLarge, detail).errors(vec![at])
    }
}

/// The row and the file, together as far as that goes: the file first gets its name, then the row is committed.
async fn publish(
    app: &App,
    mut partial: Partial,
    path: PathBuf,
    upload: NewUpload,
    actor: Actor,
) -> Result<StoredUpload, Problem> {
    let mut connection = app.connection().await?;
    let mut tx = connection.begin().await.map_err(cyberbrain_common::db::Error::from)?;
    let stored = uploads::insert(&mut tx, &upload, &actor).await?;
    partial.publish(path).await.map_err(|error| unwritable(&error))?;
    // An error does not say that there is no row: a file too many is better than one too few.
    partial.keep();
    tx.commit().await.map_err(cyberbrain_common::db::Error::from)?;
    tracing::info!(upload.id = %upload.id, size_bytes = upload.size_bytes, actor = %actor, "upload stored");
    Ok(stored)
}

fn broken_off(why: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("the body ended before it was complete: {why}"))
}

fn unwritable(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            tracing::warn!(%error, "an upload does not fit");
            let detail = "the disk for uploads is full; nothing was stored: delete uploads, or ask an admin";
            Problem::new(Kind::StorageFull, detail)
        }
        _ => Problem::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        for code in [28, 122, 27] {
            let problem = unwritable(&io::Error::from_raw_os_error(code));
            assert_eq!(problem.kind, Kind::StorageFull, "{code}");
        }
        assert_eq!(unwritable(&io::Error::from_raw_os_error(5)).kind, Kind::Internal);
    }

    #[test]
    fn only_our_own_forgotten_halves_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - FORGOTTEN * 2;
        for (name, written) in [
            (".partial-old", Some(old)),
            (".partial-new", None),
            ("01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00", Some(old)),
            ("notes.txt", Some(old)),
        ] {
            let file = std::fs::File::create(root.path().join(name)).unwrap();
            if let Some(written) = written {
                file.set_modified(written).unwrap();
            }
        }
        UploadStore::new(root.path().to_owned(), 1).sweep();
        let mut left: Vec<_> = std::fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".partial-new", "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00", "notes.txt"]);
    }
}
