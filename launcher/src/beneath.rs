//! Opens what a worker left, trusting nothing about it: the worker chose every name in its directory.
//!
//! Guarantees: nothing outside the directory is opened, no symbolic link is followed at any depth, an open never
//! blocks (a FIFO would), and only regular files are handed out.

use std::{ffi::CStr, fs::File, io, os::fd::OwnedFd, path::Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, unlinkat};

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
    pub(crate) fn names(&self, limit: usize) -> io::Result<Vec<std::ffi::CString>> {
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

    /// Puts its entries on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
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
