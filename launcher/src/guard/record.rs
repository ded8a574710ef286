//! What launchers and guard write down for each other: small files, each replaced in one step.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use cyberbrain_core::ids::{AttemptId, InstanceId, LauncherId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const DIRECTORY: &str = "guard";
const GUARD: &str = "guard.json";
const CONTACT_PREFIX: &str = "contact-";
const SUFFIX: &str = ".json";
/// More than a launcher with ten thousand attempts writes.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A launcher's last good contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContactRecord {
    pub instance: InstanceId,
    /// Of the machine.
    pub boot_id: String,
    pub engine_id: String,
    /// When the contact was sent, by the boot-time clock.
    pub sent_at_boottime_ms: u64,
    pub attempts: Vec<WatchedAttempt>,
}

/// What the guard has to know of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedAttempt {
    pub attempt: AttemptId,
    /// Silence of the host after which its work may be given to another one. `None`: never, so it is left alone.
    pub host_lost_seconds: Option<u32>,
    pub stop_grace_seconds: u32,
}

/// The guard's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GuardRecord {
    pub boot_id: String,
    /// The engine that answered.
    pub engine_id: String,
    /// When it answered, by the boot-time clock.
    pub seen_at_boottime_ms: u64,
}

/// The directory of all of them.
#[derive(Debug, Clone)]
pub(super) struct Records(PathBuf);

impl Records {
    /// Without touching the disk.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self(data_dir.join(DIRECTORY))
    }

    pub(super) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn write_guard(&self, record: &GuardRecord) -> io::Result<()> {
        write(&self.0.join(GUARD), record)
    }

    /// `None` if there is none.
    pub(super) fn read_guard(&self) -> io::Result<Option<GuardRecord>> {
        read(&self.0.join(GUARD))
    }

    pub(super) fn contact_path(&self, launcher: LauncherId) -> PathBuf {
        self.0.join(format!("{CONTACT_PREFIX}{launcher}{SUFFIX}"))
    }

    pub(super) fn write_contact(&self, launcher: LauncherId, record: &ContactRecord) -> io::Result<()> {
        write(&self.contact_path(launcher), record)
    }

    pub(super) fn remove_contact(&self, launcher: LauncherId) -> io::Result<()> {
        match fs::remove_file(self.contact_path(launcher)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Every launcher's record by its path, as far as each can be read.
    pub(super) fn read_contacts(&self) -> io::Result<BTreeMap<PathBuf, io::Result<ContactRecord>>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_contact = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(CONTACT_PREFIX) && name.ends_with(SUFFIX));
            if !is_contact {
                continue;
            }
            let path = entry.path();
            // `None`: removed meanwhile.
            if let Some(record) = read(&path).transpose() {
                found.insert(path, record);
            }
        }
        Ok(found)
    }
}

/// In one step: a reader sees the old record or the new one. Each path has one writer at a time.
fn write<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(record)?)?;
    fs::rename(partial, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}
