//! `Partial`: an upload that is coming in. It is removed unless it is kept, however the request ends.

use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncWriteExt as _, BufWriter},
};

const BUFFER_BYTES: usize = 256 * 1024;

/// A file below the uploads root that is not an upload yet.
#[derive(Debug)]
pub(super) struct Partial {
    file: BufWriter<File>,
    path: PathBuf,
    hash: Sha256,
    size: u64,
    fate: Fate,
}

/// What becomes of the file when nobody holds it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Remove,
    Keep,
}

impl Partial {
    /// Makes the file, which nobody else has. A caller who leaves meanwhile leaves no file: it is held by what makes it.
    pub(super) async fn create(path: PathBuf) -> io::Result<Self> {
        let made = tokio::task::spawn_blocking(move || {
            // Fails on anything that has the name, a link too.
            let file = std::fs::File::options().write(true).create_new(true).open(&path)?;
            let file = BufWriter::with_capacity(BUFFER_BYTES, File::from_std(file));
            Ok(Self { file, path, hash: Sha256::new(), size: 0, fate: Fate::Remove })
        });
        made.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Puts the bytes on the disk; their SHA-256.
    pub(super) async fn sync(&mut self) -> io::Result<[u8; 32]> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        Ok(self.hash.clone().finalize().into())
    }

    /// Gives it the name under which launchers find it.
    pub(super) async fn publish(&mut self, path: PathBuf) -> io::Result<()> {
        tokio::fs::rename(&self.path, &path).await?;
        self.path = path;
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        File::open(directory).await?.sync_all().await
    }

    /// It stays, whatever happens next.
    pub(super) fn keep(&mut self) {
        self.fate = Fate::Keep;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        match self.fate {
            Fate::Keep => {}
            Fate::Remove => {
                if let Err(error) = std::fs::remove_file(&self.path) {
                    tracing::warn!(path = %self.path.display(), %error, "half an upload can't be removed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// The file is made on another thread; whoever asked for it may be gone by then.
    #[test]
    fn a_file_whose_maker_left_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            for n in 0..200 {
                let mut making = Box::pin(Partial::create(root.path().join(n.to_string())));
                // Begun, and dropped before it is done.
                assert!(futures::poll!(&mut making).is_pending() || n > 0);
            }
        });
        // Ends when what was begun has ended.
        runtime.shutdown_timeout(Duration::from_secs(10));
        let until = Instant::now() + Duration::from_secs(10);
        while std::fs::read_dir(root.path()).unwrap().count() > 0 {
            assert!(Instant::now() < until, "half an upload is left");
            std::thread::yield_now();
        }
    }
}
