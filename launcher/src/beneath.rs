//! Opens what a worker left, trusting nothing about it: the worker chose every name in its directory.
//!
//! Guarantees: nothing outside the directory is opened or written, no symbolic link is followed at any depth, an open never
//! blocks (a FIFO would), only regular files are handed out, and a file that we put there is whole or not there.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};

/// An open directory below which everything is looked up.
pub(crate) struct Beneath(OwnedFd);

/// What is under a name.
pub(crate) enum Found {
    File(File),
    Directory(Beneath),
    /// A link, a FIFO, a socket, a device.
    Other,
}

impl Beneath {
    /// Opens the directory itself, which is ours.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens what has this name, which holds no separator; `None` if nothing has it.
    pub(crate) fn find(&self, name: &CStr) -> io::Result<Option<Found>> {
        let file = match open_beneath(&self.0, name) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            // A link; a socket or a device without a driver.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::XDEV) => {
                return Ok(Some(Found::Other));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Found::File(file.into()),
            FileType::Directory => Found::Directory(Self(file)),
            _ => Found::Other,
        }))
    }

    /// The names in it, at most `limit`; `.` and `..` left out.
    pub(crate) fn names(&self, limit: usize) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if names.len() == limit {
                break;
            }
            names.push(entry.file_name().to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The directory of this name, which is made if nothing has it.
    pub(crate) fn directory(&self, name: &CStr) -> io::Result<Self> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match self.find(name)? {
            Some(Found::Directory(directory)) => Ok(directory),
            Some(Found::File(_) | Found::Other) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Puts a file under this name, on the disk and in place of what was there. One caller at a time.
    pub(crate) fn put(&self, name: &CStr, bytes: &[u8]) -> io::Result<()> {
        let part = CString::new([b".", name.to_bytes(), b".part"].concat())?;
        // Of somebody who was cut off.
        self.unlink(&part)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &part, flags, Mode::from_raw_mode(0o644))?);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| Ok(renameat(&self.0, &part, &self.0, name)?)) {
            // Half of it is of no use, and takes what little room there is.
            self.unlink(&part)?;
            return Err(error);
        }
        Ok(())
    }

    /// Unlinks what has this name, which is no directory; fine if nothing has it.
    pub(crate) fn unlink(&self, name: &CStr) -> io::Result<()> {
        gone(unlinkat(&self.0, name, AtFlags::empty()))
    }

    /// Removes the directory of this name if it is empty; fine if it is not, or if nothing or no directory has it.
    pub(crate) fn remove_if_empty(&self, name: &CStr) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST | rustix::io::Errno::NOTDIR) => Ok(()),
            removed => gone(removed),
        }
    }

    /// Gives what has this name another name in another directory of the same file system.
    pub(crate) fn rename(&self, name: &CStr, to: &Self, new: &CStr) -> io::Result<()> {
        gone(renameat(&self.0, name, &to.0, new))
    }

    /// Opens the directory of this name so that it can be emptied, whatever its owner allowed; `None` if no directory
    /// has it.
    pub(crate) fn take_over(&self, name: &CStr) -> io::Result<Option<Self>> {
        allow(&self.0, name)?;
        match self.find(name)? {
            Some(Found::Directory(inner)) => Ok(Some(inner)),
            Some(Found::File(_) | Found::Other) | None => Ok(None),
        }
    }

    /// Puts its entries on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// Lets the owner of a directory read it and write to it: workers make some that don't, such as caches of modules.
#[cfg(target_os = "linux")]
fn allow(directory: &OwnedFd, name: &CStr) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = match openat(directory, name, flags, Mode::empty()) {
        Ok(inner) => inner,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mode = Mode::from_raw_mode(fstat(&inner)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // By its descriptor, so that it is this directory and no other. Who may not is told by what comes next.
        let _ = rustix::fs::chmod(format!("/proc/self/fd/{}", inner.as_raw_fd()), mode | Mode::RWXU);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn allow(_: &OwnedFd, _: &CStr) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
impl std::os::fd::AsFd for Beneath {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

#[cfg(target_os = "linux")]
fn open_beneath(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    match openat2(directory, name, FLAGS, Mode::empty(), resolve) {
        // An old kernel, or a filter around us that does not know the call: one component without links is as safe.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            openat(directory, name, FLAGS, Mode::empty())
        }
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    openat(directory, name, FLAGS, Mode::empty())
}
