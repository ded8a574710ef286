//! The lock by which there is one guard per host, and by which launchers see that it lives: the kernel lets go of it
//! when its holder dies, however it dies.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

const NAME: &str = "guard.lock";
/// Who looks whether the lock is held has it for a moment himself.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(super) struct GuardLock(#[expect(dead_code, reason = "it is held, not used")] File);

/// What trying to take it came to.
#[derive(Debug)]
pub(super) enum Taken {
    Ours(GuardLock),
    /// Another guard lives.
    Theirs {
        /// Its process, if it said so.
        pid: Option<u32>,
    },
}

/// Takes the lock of this directory, or says who has it.
pub(super) async fn take(directory: &Path) -> io::Result<Taken> {
    let mut file =
        File::options().create(true).read(true).write(true).truncate(false).open(path(directory))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                return Ok(Taken::Ours(GuardLock(file)));
            }
            Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let mut text = String::new();
    // Only for the message.
    let _ = file.take(32).read_to_string(&mut text);
    Ok(Taken::Theirs { pid: text.trim().parse().ok() })
}

/// Whether a guard holds it. A shared lock is tried, so that two who look don't see each other.
pub(super) fn is_held(directory: &Path) -> io::Result<bool> {
    let file = match File::open(path(directory)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}
