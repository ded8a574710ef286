//! The notes by which launchers and guard know of each other: small files in `<data-dir>/guard/`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use cyberbrain_core::ids::{AttemptId, InstanceId, LauncherId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const LOCK: &str = "lock";
const GUARD: &str = "guard.json";
const LAUNCHER_SUFFIX: &str = ".launcher.json";

/// A launcher's last good contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LauncherNote {
    pub instance: InstanceId,
    /// Of the machine; a note of another boot is history.
    pub boot_id: String,
    pub engine_id: String,
    /// When it was sent, by the boot-time clock.
    pub contact_ms: u64,
    pub attempts: Vec<WatchedAttempt>,
}

/// How long one attempt may go on without contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchedAttempt {
    pub attempt: AttemptId,
    /// `None`: its work is never given to another host while this one is silent, so it is left alone.
    pub host_lost_seconds: Option<u32>,
    pub stop_grace_seconds: u32,
}

/// The guard's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GuardNote {
    pub boot_id: String,
    pub engine_id: String,
    pub seen_ms: u64,
}

/// The directory of the notes.
#[derive(Debug, Clone)]
pub(super) struct Notes(PathBuf);

impl Notes {
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("guard");
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The lock that the guard of this host holds; `None` while another one does.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = File::options().create(true).append(true).open(self.0.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether somebody holds the lock. A shared lock is tried, so that two who look do not see each other.
    pub(super) fn is_locked(&self) -> io::Result<bool> {
        let file = match File::open(self.0.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn write_guard(&self, note: &GuardNote) -> io::Result<()> {
        self.write(GUARD, note)
    }

    pub(super) fn read_guard(&self) -> io::Result<Option<GuardNote>> {
        read(&self.0.join(GUARD))
    }

    pub(super) fn write_launcher(&self, launcher: LauncherId, note: &LauncherNote) -> io::Result<()> {
        self.write(&format!("{launcher}{LAUNCHER_SUFFIX}"), note)
    }

    pub(super) fn remove_launcher(&self, launcher: LauncherId) -> io::Result<()> {
        fs::remove_file(self.0.join(format!("{launcher}{LAUNCHER_SUFFIX}")))
    }

    /// Every launcher's note, with its path. One that can't be understood is left out.
    pub(super) fn read_launchers(&self) -> io::Result<Vec<(PathBuf, LauncherNote)>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if !path.to_str().is_some_and(|path| path.ends_with(LAUNCHER_SUFFIX)) {
                continue;
            }
            match read(&path) {
                Ok(Some(note)) => notes.push((path, note)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), error = &error as &dyn std::error::Error, "a launcher's note can't be read");
                }
            }
        }
        Ok(notes)
    }

    /// In one step: a reader sees the old note or the new one.
    fn write<T: Serialize>(&self, name: &str, note: &T) -> io::Result<()> {
        let partial = self.0.join(format!("{name}.{}.partial", std::process::id()));
        fs::write(&partial, serde_json::to_vec(note)?)?;
        fs::rename(partial, self.0.join(name))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
