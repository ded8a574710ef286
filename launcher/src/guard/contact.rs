//! The launchers' side: a record after each good contact, and the question whether a guard watches this host.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cyberbrain_common::{boot_clock, db::contact::GuardState};
use cyberbrain_core::ids::{InstanceId, LauncherId};

use super::{
    lock,
    record::{ContactRecord, Records, WatchedAttempt},
};
use crate::runtime::EngineIdentity;

/// A guard that has not seen the engine answer for longer than this could not stop anything.
const FRESH: Duration = Duration::from_secs(15);

/// An engine, on one boot of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOnBoot {
    pub engine_id: String,
    pub boot_id: String,
}

impl From<&EngineIdentity> for EngineOnBoot {
    fn from(identity: &EngineIdentity) -> Self {
        Self { engine_id: identity.engine_id.clone(), boot_id: identity.boot_id.clone() }
    }
}

/// Whether a guard of this data directory lives and reaches this engine.
///
/// # Errors
/// When its files are there but can't be read.
pub fn presence(data_dir: &Path, engine: &EngineOnBoot) -> io::Result<GuardState> {
    let records = Records::of(data_dir);
    if !lock::is_held(records.directory())? {
        return Ok(GuardState::Absent);
    }
    let Some(guard) = records.read_guard()? else { return Ok(GuardState::Absent) };
    let age_ms = boot_clock::now_ms().checked_sub(guard.seen_at_boottime_ms);
    let fresh = age_ms.is_some_and(|age| u128::from(age) <= FRESH.as_millis());
    let ours = guard.boot_id == engine.boot_id && guard.engine_id == engine.engine_id;
    Ok(if fresh && ours { GuardState::Present } else { GuardState::Absent })
}

/// The record of one launcher, for the guard to read. Calls take one small write; they may come from several tasks.
#[derive(Debug)]
pub struct Contact {
    data_dir: PathBuf,
    launcher: LauncherId,
    instance: InstanceId,
    engine: EngineOnBoot,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    sent_at_boottime_ms: Option<u64>,
    written: Written,
}

/// Whether what is on the disk is what was last to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    No,
}

impl Contact {
    /// # Errors
    /// The directory can't be made.
    pub fn new(
        data_dir: &Path,
        launcher: LauncherId,
        instance: InstanceId,
        engine: EngineOnBoot,
    ) -> io::Result<Self> {
        Records::of(data_dir).create()?;
        let last = Mutex::new(Last { sent_at_boottime_ms: None, written: Written::No });
        Ok(Self { data_dir: data_dir.to_owned(), launcher, instance, engine, last })
    }

    /// The database has answered a contact that was SENT at this time of the boot-time clock; these are the open
    /// attempts of this launcher.
    ///
    /// # Errors
    /// The record can't be written. The guard then counts from the contact before: too early, never too late.
    pub fn note(&self, sent_at_boottime_ms: u64, attempts: Vec<WatchedAttempt>) -> io::Result<()> {
        let mut last = self.last();
        last.sent_at_boottime_ms = last.sent_at_boottime_ms.max(Some(sent_at_boottime_ms));
        self.write(&mut last, attempts)
    }

    /// These are the open attempts of this launcher now. To be called before each contact is tried, so that the guard
    /// knows them although it may fail: it takes an attempt that it doesn't know for one with the least limits. Does
    /// nothing before the first good contact.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn note_attempts(&self, attempts: Vec<WatchedAttempt>) -> io::Result<()> {
        self.write(&mut self.last(), attempts)
    }

    /// What to tell the database: [`presence`], and [`GuardState::Absent`] as long as the guard can't know of this
    /// launcher, because its record is not on the disk.
    ///
    /// # Errors
    /// As [`presence`]; to be taken for [`GuardState::Absent`].
    pub fn guard(&self) -> io::Result<GuardState> {
        let written = self.last().written;
        match written {
            Written::Yes => presence(&self.data_dir, &self.engine),
            Written::No => Ok(GuardState::Absent),
        }
    }

    /// Removes the record: this launcher leaves no containers behind.
    ///
    /// # Errors
    /// The record is there and can't be removed.
    pub fn farewell(&self) -> io::Result<()> {
        let mut last = self.last();
        *last = Last { sent_at_boottime_ms: None, written: Written::No };
        Records::of(&self.data_dir).remove_contact(self.launcher)
    }

    fn write(&self, last: &mut Last, attempts: Vec<WatchedAttempt>) -> io::Result<()> {
        let Some(sent_at_boottime_ms) = last.sent_at_boottime_ms else { return Ok(()) };
        let record = ContactRecord {
            instance: self.instance,
            boot_id: self.engine.boot_id.clone(),
            engine_id: self.engine.engine_id.clone(),
            sent_at_boottime_ms,
            attempts,
        };
        let result = Records::of(&self.data_dir).write_contact(self.launcher, &record);
        last.written = if result.is_ok() { Written::Yes } else { Written::No };
        result
    }

    /// Held during a write, so that there is one at a time.
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
