//! One `up` per data directory, and the traces by which the next one finds what a killed one left.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// Held while this `up` runs; the kernel lets go of it whatever we die of.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Makes the data directory (0700) and locks it.
pub fn lock(data_dir: &Path) -> anyhow::Result<DataDirLock> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("can't make the data directory {}", data_dir.display()))?;
    let path = data_dir.join("up.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder).ok();
        bail!(
            "another `cyberbrain up` (process {}) uses {}; stop it, or choose another directory with --data-dir",
            holder.trim(),
            data_dir.display()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(DataDirLock { _file: file })
}

/// Where the roles write their logs and announcements; emptied at each start.
pub fn run_directory(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir.join("run");
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("can't empty {}", path.display()))?;
    }
    fs::create_dir(&path).with_context(|| format!("can't make {}", path.display()))?;
    Ok(path)
}
