//! Takes files off the disk: one, or all that an attempt left.
//!
//! Guarantees: nothing outside the logs root is touched and no link is followed, whatever a worker named its files; a tree
//! goes however deep it is, with a bounded number of open files; directories that are left empty go too.

use std::{
    ffi::{CStr, CString},
    io,
    path::{Component, Path},
};

use cyberbrain_common::{
    db::kept_files::{Marked, Rest},
    ids::fresh,
    worker_log::attempt_dir,
};
use cyberbrain_core::ids::ArtifactId;

use crate::beneath::{Beneath, Found};

/// Names that are read of a directory at once.
const NAMES: usize = 1_000;
/// Directories in directories that are held open at once.
const MAX_DEPTH: usize = 32;

/// Those that are gone from the disk now, by us or before.
pub(super) fn all(root: &Path, files: &[Marked]) -> Vec<ArtifactId> {
    let mut gone = Vec::new();
    for file in files {
        let removed = match file.rest {
            Rest::Kept => remove_file(root, Path::new(&file.path)),
            // Beside what is listed: inputs, and what was too much for the list.
            Rest::Nothing { run, run_job, attempt } => {
                remove_tree(root, Path::new(&attempt_dir(run, run_job, attempt)))
            }
        };
        match removed {
            Ok(()) => gone.push(file.id),
            Err(error) => {
                tracing::warn!(artifact.id = %file.id, %error, "a file can't be removed; the next look will try");
            }
        }
    }
    gone
}

/// Unlinks what is at a path below the root, and then the directories above it that are empty.
fn remove_file(root: &Path, path: &Path) -> io::Result<()> {
    let way = Way::to(root, path)?;
    if let Some(directory) = way.end() {
        directory.unlink(&way.name)?;
    }
    way.tidy()
}

/// Removes the directory at a path below the root with all that is in it, and then the directories above it that are empty.
pub(super) fn remove_tree(root: &Path, path: &Path) -> io::Result<()> {
    let way = Way::to(root, path)?;
    if let Some(directory) = way.end() {
        match directory.take_over(&way.name)? {
            Some(inner) => {
                clear(&inner, &inner, 0)?;
                directory.remove_if_empty(&way.name)?;
            }
            // A link or a file in its place is no directory of ours; it goes itself.
            None => directory.unlink(&way.name)?,
        }
    }
    way.tidy()
}

/// Removes all that is in a directory of the tree below `top`. What is too deep is first moved up to `top`.
fn clear(directory: &Beneath, top: &Beneath, depth: usize) -> io::Result<()> {
    loop {
        let names = directory.names(NAMES)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            match directory.unlink(name) {
                Ok(()) => continue,
                Err(error) if is_directory(&error) => {}
                Err(error) => return Err(error),
            }
            if depth == MAX_DEPTH {
                let new = CString::new(format!("deep-{}", fresh::<ArtifactId>()))?;
                directory.rename(name, top, &new)?;
            } else if let Some(inner) = directory.take_over(name)? {
                clear(&inner, top, depth + 1)?;
                directory.remove_if_empty(name)?;
            } else {
                // A mount point, or not a directory any more: nothing that a worker could have left.
                return Err(io::ErrorKind::ResourceBusy.into());
            }
        }
    }
}

/// What unlinking a directory gives: EISDIR on Linux, EPERM by POSIX.
fn is_directory(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory) || error.raw_os_error() == Some(1)
}

/// The directories from the root down to a path, as far as they are there.
struct Way {
    directories: Vec<Beneath>,
    names: Vec<CString>,
    /// The last one's.
    name: CString,
}

impl Way {
    fn to(root: &Path, path: &Path) -> io::Result<Self> {
        let mut names = Vec::new();
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
            names.push(CString::new(name.as_encoded_bytes())?);
        }
        let Some(name) = names.pop() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut directories = vec![Beneath::open(root)?];
        for name in &names {
            match directories.last().map(|above| above.find(name)).transpose()?.flatten() {
                Some(Found::Directory(inner)) => directories.push(inner),
                // Nothing is there, or something that we did not make.
                Some(Found::File(_) | Found::Other) | None => break,
            }
        }
        Ok(Self { directories, names, name })
    }

    /// The directory that would hold the last name, if it is there.
    fn end(&self) -> Option<&Beneath> {
        self.directories.get(self.names.len())
    }

    /// Removes the directories on the way that are empty; `runs` itself stays.
    fn tidy(&self) -> io::Result<()> {
        let above = self.directories.iter().zip(&self.names).skip(1);
        above.rev().try_for_each(|(above, name): (_, &CString)| above.remove_if_empty(name as &CStr))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::PathBuf,
    };

    use super::*;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("runs/r/j/a/out");
        fs::create_dir_all(&dir).unwrap();
        (root, dir)
    }

    #[test]
    fn a_file_goes_with_the_directories_that_it_leaves_empty() {
        let (root, out) = root();
        fs::write(out.join("x"), "x").unwrap();
        fs::write(out.join("y"), "y").unwrap();
        remove_file(root.path(), Path::new("runs/r/j/a/out/x")).unwrap();
        assert!(!out.join("x").exists() && out.join("y").exists());
        remove_file(root.path(), Path::new("runs/r/j/a/out/y")).unwrap();
        assert!(!root.path().join("runs/r").exists() && root.path().join("runs").exists());
        remove_file(root.path(), Path::new("runs/r/j/a/out/y")).unwrap();
    }

    #[test]
    fn links_that_a_worker_left_lead_nowhere() {
        // Every path outside leads to what this test made: a fault here must cost nothing else.
        let home = tempfile::tempdir().unwrap();
        let (root, outside) = (home.path().join("logs"), home.path().join("outside"));
        let (out, precious) = (root.join("runs/r/j/a/out"), outside.join("precious"));
        fs::create_dir_all(&out).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(&precious, "p").unwrap();
        symlink(&outside, out.join("dir")).unwrap();
        symlink(&precious, out.join("file")).unwrap();
        for path in ["runs/r/j/a/out/dir/precious", "runs/r/j/a/out/file"] {
            remove_file(&root, Path::new(path)).unwrap();
        }
        for path in [
            Path::new("../outside/precious"),
            &precious,
            Path::new("runs/../../outside/precious"),
            Path::new(""),
        ] {
            assert!(remove_file(&root, path).is_err(), "{}", path.display());
            assert!(remove_tree(&root, path).is_err(), "{}", path.display());
        }
        assert!(fs::symlink_metadata(out.join("file")).is_err(), "the link itself is gone");
        assert!(fs::symlink_metadata(out.join("dir")).is_ok());
        remove_tree(&root, Path::new("runs/r/j/a")).unwrap();
        assert!(!root.join("runs/r").exists());
        assert!(precious.exists());
    }

    #[test]
    fn a_link_in_place_of_a_directory_goes_and_what_it_leads_to_stays() {
        let (root, out) = root();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("a")).unwrap();
        fs::write(outside.path().join("a/precious"), "p").unwrap();
        let (attempt, job) = (out.parent().unwrap(), root.path().join("runs/r/j"));
        fs::remove_dir_all(attempt).unwrap();
        symlink(outside.path().join("a"), attempt).unwrap();
        remove_tree(root.path(), Path::new("runs/r/j/a")).unwrap();
        assert!(!job.exists(), "the link is gone");
        // One above it: the way ends there.
        fs::create_dir_all(root.path().join("runs/r")).unwrap();
        symlink(outside.path(), &job).unwrap();
        remove_tree(root.path(), Path::new("runs/r/j/a")).unwrap();
        remove_file(root.path(), Path::new("runs/r/j/a/precious")).unwrap();
        assert!(outside.path().join("a/precious").exists());
    }

    #[test]
    fn a_tree_goes_however_deep_it_is() {
        let (root, out) = root();
        // Deeper than a process may have files open, and than one path may be long.
        let mut directory = Beneath::open(&out).unwrap();
        let name = c"ddddddddddddddddddddddddddddddd";
        for n in 0..3_000 {
            rustix::fs::mkdirat(&directory, name, rustix::fs::Mode::RWXU).unwrap();
            let Some(Found::Directory(inner)) = directory.find(name).unwrap() else { panic!("{n}") };
            directory = inner;
        }
        for n in 0..NAMES + 5 {
            fs::write(out.join(n.to_string()), "x").unwrap();
        }
        remove_tree(root.path(), Path::new("runs/r/j/a")).unwrap();
        assert!(!root.path().join("runs/r").exists());
    }

    /// As somebody whom permissions bind, which root is not otherwise.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_worker_made_unwritable_goes_too() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let (root, out) = root();
        for (name, mode) in [("read-only", 0o555), ("closed", 0o000)] {
            fs::create_dir_all(out.join(name).join("inner")).unwrap();
            fs::write(out.join(name).join("file"), "x").unwrap();
            fs::set_permissions(out.join(name).join("file"), fs::Permissions::from_mode(0o000)).unwrap();
            fs::set_permissions(out.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let removing = std::thread::spawn(move || {
            // Of this thread only.
            let mut own = capabilities(None).unwrap();
            own.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, own).unwrap();
            assert!(fs::read_dir(out.join("closed")).is_err(), "permissions bind this thread");
            remove_tree(root.path(), Path::new("runs/r/j/a")).unwrap();
            assert!(!root.path().join("runs/r").exists());
        });
        removing.join().unwrap();
    }
}
