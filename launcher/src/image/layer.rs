//! The one layer of an image: a tar stream whose bytes depend on its content only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{Error, Recipe, libraries};
use crate::runtime::User;

/// Directories in which loaders look for libraries without being told.
const DEFAULT_LIBRARY_DIRECTORIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory {
        mode: u32,
    },
    /// A small file written here.
    Text(String),
    /// A file of this machine.
    File {
        source: PathBuf,
        size: u64,
    },
}

/// The entries by path, sorted, and the digest of the stream they make.
#[derive(Debug)]
pub(super) struct Layer {
    entries: BTreeMap<PathBuf, Entry>,
    library_path: Option<String>,
    digest: String,
    size: u64,
}

impl Layer {
    pub(super) fn of(recipe: &Recipe) -> Result<Self, Error> {
        let mut entries = skeleton();
        let mut library_directories = BTreeSet::new();
        for executable in &recipe.executables {
            add_file(&mut entries, &executable.target, &executable.source)?;
            for (target, source) in libraries::of(&executable.source)? {
                library_directories.extend(target.parent().map(Path::to_owned));
                add_file(&mut entries, &target, &source)?;
            }
        }
        let mut layer = Self {
            entries,
            library_path: library_path(&library_directories),
            digest: String::new(),
            size: 0,
        };
        let mut hashing = Hashing { hasher: Sha256::new(), bytes: 0 };
        layer.write(&mut hashing)?;
        layer.digest = format!("{:x}", hashing.hasher.finalize());
        layer.size = hashing.bytes;
        Ok(layer)
    }

    /// SHA-256 of the stream, in hex.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Length of the stream in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Where the loader must be told to look; `None` if it looks there anyway.
    pub(super) fn library_path(&self) -> Option<&str> {
        self.library_path.as_deref()
    }

    /// Writes the tar stream.
    pub(super) fn write(&self, to: &mut dyn Write) -> Result<(), Error> {
        let mut tar = Builder::new(to);
        for (path, entry) in &self.entries {
            let path = path.strip_prefix("/").unwrap_or(path);
            match entry {
                Entry::Directory { mode } => {
                    tar.append_data(&mut header(EntryType::Directory, *mode, 0), path, io::empty())?;
                }
                Entry::Text(text) => {
                    let size = text.len() as u64;
                    tar.append_data(&mut header(EntryType::Regular, 0o644, size), path, text.as_bytes())?;
                }
                Entry::File { source, size } => {
                    let mut file = Exactly { file: open(source)?, left: *size };
                    // Libraries need no execute bit, but loaders must have it; one mode fits all.
                    tar.append_data(&mut header(EntryType::Regular, 0o755, *size), path, &mut file)
                        .map_err(|error| changed(error, source))?;
                    if file.left > 0 {
                        return Err(Error::Changed { path: source.clone() });
                    }
                }
            }
        }
        tar.into_inner()?;
        Ok(())
    }
}

/// What every image has: a place for each mount, a user, a world-writable `/tmp` under the tmpfs.
fn skeleton() -> BTreeMap<PathBuf, Entry> {
    let User { uid, gid } = User::NONROOT;
    let directories = ["/dev", "/etc", "/input", "/logs", "/proc", "/sys", "/uploads"];
    let files = [
        ("/etc/passwd", format!("root:x:0:0::/:/sbin/nologin\nworker:x:{uid}:{gid}::/tmp:/sbin/nologin\n")),
        ("/etc/group", format!("root:x:0:\nworker:x:{gid}:\n")),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
    ];
    directories
        .into_iter()
        .map(|path| (path.into(), Entry::Directory { mode: 0o755 }))
        .chain([("/tmp".into(), Entry::Directory { mode: 0o1777 })])
        .chain(files.into_iter().map(|(path, text)| (path.into(), Entry::Text(text))))
        .collect()
}

fn add_file(entries: &mut BTreeMap<PathBuf, Entry>, target: &Path, source: &Path) -> Result<(), Error> {
    let plain = target.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !target.is_absolute() || !plain || target.file_name().is_none() {
        return Err(Error::Target { path: target.to_owned() });
    }
    let metadata =
        open(source)?.metadata().map_err(|error| Error::Read { path: source.to_owned(), source: error })?;
    for parent in target.ancestors().skip(1).filter(|parent| *parent != Path::new("/")) {
        entries.entry(parent.to_owned()).or_insert(Entry::Directory { mode: 0o755 });
    }
    let entry = Entry::File { source: source.to_owned(), size: metadata.len() };
    match entries.insert(target.to_owned(), entry.clone()) {
        None => Ok(()),
        Some(same) if same == entry => Ok(()),
        Some(_) => Err(Error::Conflict { path: target.to_owned() }),
    }
}

/// Each default directory may have one for the architecture below it.
fn library_path(directories: &BTreeSet<PathBuf>) -> Option<String> {
    let is_default = |directory: &Path| {
        DEFAULT_LIBRARY_DIRECTORIES.iter().any(|default| {
            directory == Path::new(default)
                || (directory.parent() == Some(Path::new(default))
                    && directory.to_string_lossy().ends_with("-linux-gnu"))
        })
    };
    if directories.iter().all(|directory| is_default(directory)) {
        return None;
    }
    let all: Vec<_> = directories.iter().map(|directory| directory.to_string_lossy()).collect();
    Some(all.join(":"))
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// A file that ended early or grew shows as an error of the copy; what is written to never does.
fn changed(error: io::Error, source: &Path) -> Error {
    if error.kind() == io::ErrorKind::InvalidData {
        return Error::Changed { path: source.to_owned() };
    }
    Error::Write(error)
}

/// Reads as many bytes as the header says, or fails.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

struct Hashing {
    hasher: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
