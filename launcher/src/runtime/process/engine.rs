//! The identity of a process "engine": a directory that one launcher at a time holds by a lock.
//!
//! What an engine says about a container proves something only if it is the same engine. So its id lives in
//! a directory, and whoever holds the directory's lock is that engine. The directory also lists the living
//! children: whoever takes the lock after a crash first kills them, so that "absent" is the truth from the
//! first answer on. A second launcher on the same machine takes the next directory, hence is another engine.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::runtime::error::{EngineCall, Error};

/// More launchers than this on one machine without an engine are a mistake.
const MAX_ENGINES: usize = 64;
const LEFTOVER_LIMIT: Duration = Duration::from_secs(5);

/// When a process began, in the kernel's clock ticks since boot: tells a reused process id apart.
type StartTicks = u64;

#[derive(Debug)]
pub(super) struct EngineDirectory {
    path: PathBuf,
    id: String,
    children: Mutex<BTreeMap<i32, StartTicks>>,
    /// Held as long as this lives.
    _lock: File,
}

impl EngineDirectory {
    /// Takes the first free engine directory.
    pub(super) async fn claim(state_directory: &Path) -> Result<Self, Error> {
        for number in 0..MAX_ENGINES {
            let path = state_directory.join(format!("process-engine-{number}"));
            if let Some(lock) = lock(&path).map_err(|error| unusable(&path, error))? {
                end_leftovers(&path).await?;
                let id = identity(&path).map_err(|error| unusable(&path, error))?;
                return Ok(Self { path, id, children: Mutex::default(), _lock: lock });
            }
        }
        Err(unusable(state_directory, io::Error::other(format!("all {MAX_ENGINES} engines are in use"))))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Writes a child down, before anybody is told that it runs.
    pub(super) fn remember(&self, child: Pid) {
        let pid = child.as_raw_pid();
        // Without a start time it has ended already.
        if let Some(ticks) = start_ticks(pid) {
            let mut children = self.lock();
            children.insert(pid, ticks);
            self.write(&children);
        }
    }

    pub(super) fn forget(&self, child: Pid) {
        let mut children = self.lock();
        children.remove(&child.as_raw_pid());
        self.write(&children);
    }

    /// Kills every child and its group.
    pub(super) fn kill_children(&self) {
        for (pid, ticks) in self.lock().iter() {
            kill_if_same(*pid, *ticks);
        }
    }

    /// A list that can't be written costs only the clean-up after a crash, so it stops nothing.
    fn write(&self, children: &BTreeMap<i32, StartTicks>) {
        let text: String = children.iter().map(|(pid, ticks)| format!("{pid} {ticks}\n")).collect();
        let new = self.path.join("children.new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, self.path.join("children")));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), error = &error as &dyn std::error::Error, "the list of worker processes can't be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, StartTicks>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(path)?;
    let file = File::options().create(true).append(true).open(path.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<String> {
    let file = path.join("id");
    match fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => write_identity(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_identity(&file),
        Err(error) => Err(error),
    }
}

fn write_identity(file: &Path) -> io::Result<String> {
    let id = format!("process:{}", Uuid::now_v7());
    fs::write(file, &id)?;
    Ok(id)
}

async fn end_leftovers(path: &Path) -> Result<(), Error> {
    let text = match fs::read_to_string(path.join("children")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(path, error)),
    };
    let children: Vec<(i32, StartTicks)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(pid, ticks)| Some((pid.parse().ok()?, ticks.parse().ok()?)))
        .collect();
    let deadline = Instant::now() + LEFTOVER_LIMIT;
    loop {
        let mut alive = false;
        for (pid, ticks) in &children {
            alive |= kill_if_same(*pid, *ticks);
        }
        if !alive {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Timeout {
                call: EngineCall::Connect,
                subject: path.display().to_string(),
                after: LEFTOVER_LIMIT,
            });
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Kills the group of this process if it is the very one; says whether it was there.
fn kill_if_same(pid: i32, ticks: StartTicks) -> bool {
    if start_ticks(pid) != Some(ticks) {
        return false;
    }
    if let Some(leader) = Pid::from_raw(pid) {
        let _ = kill_process_group(leader, Signal::KILL);
    }
    true
}

/// `None` if there is no such process, or only its remains.
fn start_ticks(pid: i32) -> Option<StartTicks> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also blanks and parentheses.
    let fields = stat.rsplit_once(')')?.1;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn unusable(path: &Path, error: io::Error) -> Error {
    Error::Unreachable {
        call: EngineCall::Connect,
        subject: path.display().to_string(),
        source: Box::new(error),
    }
}
