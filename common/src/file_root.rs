//! Which directory of files this is: an id in a mark that lies in it.
//!
//! Guarantees that processes which share a directory know it by one id, whatever path each has for it, and that another
//! directory has another id. A directory that is moved keeps its id; one without its mark gets a new one.

use std::{
    fs::{File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use cyberbrain_core::ids::RootId;

use crate::ids::fresh;

/// The name of the mark. Nothing else that we keep begins like this.
pub const MARK: &str = ".cyberbrain-root";
/// More than any mark has.
const MAX_BYTES: u64 = 64;

/// The id of a directory that is there; the first who asks marks it.
///
/// # Errors
/// When the directory can't be read, or has no mark and can't be written, or its mark is no mark of ours.
pub fn id_of(directory: &Path) -> io::Result<RootId> {
    if let Some(id) = known(directory)? {
        return Ok(id);
    }
    let mark = directory.join(MARK);
    let mut ours = tempfile::Builder::new()
        .prefix(MARK)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    writeln!(ours, "{}", fresh::<RootId>())?;
    ours.as_file().sync_all()?;
    match ours.persist_noclobber(&mark) {
        // Of several who mark it at once, the first one's stays.
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
        Ok(_) | Err(_) => {}
    }
    File::open(directory)?.sync_all()?;
    read(&mark)
}

/// The id of a directory; `None` if there is no directory, or no mark in it.
///
/// # Errors
/// When it can't be read, or its mark is no mark of ours.
pub fn known(directory: &Path) -> io::Result<Option<RootId>> {
    match read(&directory.join(MARK)) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a directory is there and is still this one: what is not mounted is another, or none.
#[must_use]
pub fn is(directory: &Path, id: RootId) -> bool {
    known(directory).is_ok_and(|known| known == Some(id))
}

fn read(mark: &Path) -> io::Result<RootId> {
    let mut text = String::new();
    File::open(mark)?.take(MAX_BYTES).read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| {
        let told = format!("{} does not hold the id of a directory", mark.display());
        io::Error::new(io::ErrorKind::InvalidData, told)
    })
}

/// Whether this is the name of a mark, or of one that is being made.
#[must_use]
pub fn is_mark(name: &str) -> bool {
    name.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn all_who_share_a_directory_know_it_by_one_id_and_another_one_by_another() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a");
        assert_eq!(known(&directory).unwrap(), None);
        fs::create_dir(&directory).unwrap();
        assert_eq!(known(&directory).unwrap(), None);
        let ids: BTreeSet<RootId> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..16).map(|_| scope.spawn(|| id_of(&directory).unwrap())).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
        let left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [MARK], "nothing else is left of it");
        let moved = parent.path().join("b");
        fs::rename(&directory, &moved).unwrap();
        assert_eq!(ids.first(), known(&moved).unwrap().as_ref(), "it is what it was, elsewhere");
        let id = *ids.first().unwrap();
        assert!(is(&moved, id) && !is(&directory, id), "there is nothing");
        fs::create_dir(&directory).unwrap();
        assert_ne!(id_of(&directory).unwrap(), id);
        assert!(!is(&directory, id), "it is another one");
    }

    #[test]
    fn a_mark_that_is_not_ours_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(MARK), "somebody else's").unwrap();
        assert_eq!(id_of(directory.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(directory.path().join(MARK)).unwrap(), "somebody else's");
        assert!(id_of(&directory.path().join("none")).is_err());
    }
}
