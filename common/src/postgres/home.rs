//! The directory of one server: who owns it, where it lies, and that only one owner uses it.
//!
//! Inside: `data/` (PostgreSQL's own), `password` (0600), `server.log`, `socket/`, `lock`. All of it belongs to
//! the account that runs the server. The `lock` is held by this process, so the kernel frees it whatever we die of.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rand::{Rng as _, distr::Alphanumeric};
use sha2::{Digest as _, Sha256};

use super::{Account, Error, Notice, Place, Tell};

/// Where data goes when the server's user can't reach the directory asked for.
const SYSTEM_PARENT: &str = "/var/lib/cyberbrain";
/// A socket path may have 107 bytes on Linux and 103 elsewhere.
const SOCKET_PATH_LIMIT: usize = 100;

#[derive(Debug)]
pub(super) struct Home {
    pub(super) path: PathBuf,
    pub(super) account: Account,
    /// Removed when the server ends.
    pub(super) temporary: bool,
    // Held until the server is gone.
    _lock: File,
}

impl Home {
    /// Makes or takes the directory and its lock.
    pub(super) async fn open(place: &Place, account: Account, tell: Tell<'_>) -> Result<Self, Error> {
        let (path, temporary) = match place {
            Place::Directory(path) => (permanent(path, &account, tell).await?, false),
            Place::Temporary => (temporary(&account).await?, true),
        };
        let lock = lock(&path)?;
        Ok(Self { path, account, temporary, _lock: lock })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    pub(super) fn password_file(&self) -> PathBuf {
        self.path.join("password")
    }

    /// Reads the superuser's password, or makes one.
    pub(super) fn password(&self) -> Result<String, Error> {
        let path = self.password_file();
        let failed = |doing| move |path: PathBuf| move |source| Error::File { doing, path, source };
        match fs::read_to_string(&path) {
            Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read")(path)(error)),
        }
        let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
        // Whole or not at all: a torn password would lock us out of data made with it.
        let draft = self.path.join("password.new");
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(password.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| self.account.take(&draft))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(failed("write")(path))?;
        Ok(password)
    }

    /// A directory only the server's user can enter, with a path short enough for a socket.
    pub(super) fn socket_directory(&self) -> Result<PathBuf, Error> {
        let directory = socket_path(&self.path);
        let failed = |source| Error::File { doing: "prepare", path: directory.clone(), source };
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => self.account.take(&directory).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Under /tmp anybody could have been first.
                let found = fs::symlink_metadata(&directory).map_err(failed)?;
                if !found.is_dir() || found.uid() != self.account.uid() || found.mode() & 0o077 != 0 {
                    return Err(Error::NotOurs { path: directory, account: self.account.name() });
                }
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(directory)
    }
}

fn socket_path(home: &Path) -> PathBuf {
    let inside = home.join("socket");
    if inside.join(".s.PGSQL.65535").as_os_str().len() < SOCKET_PATH_LIMIT {
        inside
    } else {
        PathBuf::from(format!("/tmp/cyberbrain-{}", key_of(home)))
    }
}

/// Names one path, short and always the same.
fn key_of(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The directory asked for if the account can use it, else one under [`SYSTEM_PARENT`] named after it.
async fn permanent(wanted: &Path, account: &Account, tell: Tell<'_>) -> Result<PathBuf, Error> {
    let wanted = std::path::absolute(wanted).map_err(|source| Error::File {
        doing: "resolve",
        path: wanted.to_owned(),
        source,
    })?;
    if take_over(&wanted, account).await? {
        return Ok(wanted);
    }
    let no_place = || Error::NoPlace { path: wanted.clone(), account: account.name() };
    match account {
        Account::Own { .. } => return Err(no_place()),
        Account::Other { .. } => {}
    }
    let used = Path::new(SYSTEM_PARENT).join(format!("postgres-{}", key_of(&wanted)));
    if !take_over(&used, account).await? {
        return Err(no_place());
    }
    let pointer = wanted.join("LOCATION");
    fs::write(&pointer, format!("{}\n", used.display())).map_err(|source| Error::File {
        doing: "write",
        path: pointer,
        source,
    })?;
    tell(&Notice::Elsewhere { wanted, used: used.clone() });
    Ok(used)
}

/// A new directory in the first temporary place that the account can use (root's TMPDIR may be closed to it).
async fn temporary(account: &Account) -> Result<PathBuf, Error> {
    let first = std::env::temp_dir();
    for parent in [first.as_path(), Path::new("/tmp"), Path::new("/var/tmp")] {
        let mut builder = tempfile::Builder::new();
        builder.prefix("cyberbrain-pg-").permissions(fs::Permissions::from_mode(0o700));
        let Ok(made) = builder.tempdir_in(parent) else { continue };
        if account.take(made.path()).is_ok() && account.can_use(made.path()).await? {
            return Ok(made.keep());
        }
    }
    Err(Error::NoPlace { path: first, account: account.name() })
}

/// Makes `path` if need be, and gives it to the account. False: the account can't use it, and it is as it was
/// (or an empty directory of ours).
async fn take_over(path: &Path, account: &Account) -> Result<bool, Error> {
    let failed = |doing| move |source| Error::File { doing, path: path.to_owned(), source };
    match fs::create_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(failed("create")(error)),
    }
    let before = fs::metadata(path).map_err(failed("look at"))?;
    if before.uid() != account.uid() {
        let holds_data = fs::read_dir(path)
            .map_err(failed("look into"))?
            .flatten()
            .any(|entry| entry.file_name() != "LOCATION");
        if holds_data {
            return Err(Error::NotOurs { path: path.to_owned(), account: account.name() });
        }
    }
    if account.take(path).is_err() {
        // A file system without owners, or one that does not let root change them.
        return Ok(false);
    }
    if account.can_use(path).await? {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed("protect"))?;
        return Ok(true);
    }
    std::os::unix::fs::chown(path, Some(before.uid()), Some(before.gid())).map_err(failed("give back"))?;
    Ok(false)
}

fn lock(home: &Path) -> Result<File, Error> {
    let path = home.join("lock");
    let failed = |source| Error::File { doing: "lock", path: path.clone(), source };
    let file =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: home.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SOCKET_PATH_LIMIT, socket_path};

    #[test]
    fn socket_paths_stay_short() {
        let deep = format!("/{}", "deep/".repeat(40));
        for home in ["/a", "/home/somebody/.local/share/cyberbrain/postgres", deep.as_str()] {
            let length = socket_path(Path::new(home)).join(".s.PGSQL.65535").as_os_str().len();
            assert!(length < SOCKET_PATH_LIMIT, "{home}: {length}");
        }
        assert_eq!(socket_path(Path::new("/a")), Path::new("/a/socket"));
        assert_ne!(socket_path(Path::new(&deep)), socket_path(Path::new(&deep[..deep.len() - 5])));
    }
}
