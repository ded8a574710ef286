//! Which shared libraries an executable needs: asked of the loader that would run it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::Error;

/// The loader only maps files.
const LOADER_LIMIT: Duration = Duration::from_secs(10);
const MAX_LISTING_BYTES: u64 = 256 * 1024;
/// Sane numbers for an ELF header's table.
const MAX_PROGRAM_HEADERS: u16 = 256;
const MAX_INTERPRETER_BYTES: u64 = 4_096;

/// Files by their place in the image. A static executable needs none.
pub(super) fn of(executable: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, Error> {
    let Some(loader) = interpreter(executable)? else { return Ok(BTreeMap::new()) };
    let listing = list(&loader, executable)?;
    let mut files = parse(&listing, executable)?;
    // The executable names its loader by this path, whatever the listing calls it.
    files.insert(loader.clone(), loader);
    Ok(files)
}

/// The `PT_INTERP` entry of a 64-bit little-endian ELF file.
fn interpreter(executable: &Path) -> Result<Option<PathBuf>, Error> {
    let read = |source| Error::Read { path: executable.to_owned(), source };
    let mut file = File::open(executable).map_err(read)?;
    find_interpreter(&mut file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::Elf { path: executable.to_owned() }
        }
        _ => read(error),
    })
}

fn find_interpreter(file: &mut (impl Read + Seek)) -> io::Result<Option<PathBuf>> {
    const PT_INTERP: u32 = 3;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut header = [0_u8; 64];
    file.read_exact(&mut header)?;
    let is_elf64_little = header.starts_with(b"\x7fELF") && header[4] == 2 && header[5] == 1;
    let entry_size = u16::from_le_bytes([header[54], header[55]]);
    let entries = u16::from_le_bytes([header[56], header[57]]);
    if !is_elf64_little || entry_size < 56 || entries > MAX_PROGRAM_HEADERS {
        return Err(invalid());
    }
    let table = word(&header, 32);
    for number in 0..u64::from(entries) {
        let at = number.checked_mul(entry_size.into()).and_then(|offset| table.checked_add(offset));
        file.seek(SeekFrom::Start(at.ok_or_else(invalid)?))?;
        let mut entry = [0_u8; 56];
        file.read_exact(&mut entry)?;
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) != PT_INTERP {
            continue;
        }
        let (offset, size) = (word(&entry, 8), word(&entry, 32));
        if size > MAX_INTERPRETER_BYTES {
            return Err(invalid());
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut text = Vec::new();
        file.take(size).read_to_end(&mut text)?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let path = PathBuf::from(std::str::from_utf8(text).map_err(|_| invalid())?);
        return if path.is_absolute() { Ok(Some(path)) } else { Err(invalid()) };
    }
    Ok(None)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Runs `loader --list executable`: it maps the files and runs none of their code.
fn list(loader: &Path, executable: &Path) -> Result<String, Error> {
    let failed = |source| Error::Loader { path: executable.to_owned(), loader: loader.to_owned(), source };
    let refused = |why: String| Error::Libraries { path: executable.to_owned(), why };
    let mut child = Command::new(loader)
        .arg("--list")
        .arg(executable)
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (sender, listing) = mpsc::channel();
    let reading = child.stdout.take().map(|from| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = from.take(MAX_LISTING_BYTES).read_to_string(&mut text);
            let _ = sender.send(read.map(|_| text));
        })
    });
    let listing = listing.recv_timeout(LOADER_LIMIT);
    if listing.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    if let Some(reading) = reading {
        let _ = reading.join();
    }
    let listing = listing
        .map_err(|_| refused(format!("the loader did not end within {LOADER_LIMIT:?}")))?
        .map_err(failed)?;
    if !status.success() {
        return Err(refused(format!("the loader ended with {status}")));
    }
    Ok(listing)
}

/// Lines are `name => /path (0x…)`, `/path (0x…)` or, without a file, `linux-vdso.so.1 (0x…)`.
fn parse(listing: &str, executable: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, Error> {
    let mut files = BTreeMap::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, target) = line.split_once(" => ").unwrap_or(("", line));
        if target == "not found" {
            let why = format!("{name} is not found");
            return Err(Error::Libraries { path: executable.to_owned(), why });
        }
        let path = target.rsplit_once(" (").map_or(target, |(path, _)| path);
        if path.starts_with('/') {
            files.insert(PathBuf::from(path), PathBuf::from(path));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_listing_is_understood() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f5d)\n";
        let files = parse(listing, Path::new("/x")).unwrap();
        let places: Vec<_> = files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(places, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = parse("\tlibnope.so.1 => not found\n", Path::new("/x")).unwrap_err();
        assert!(error.to_string().contains("libnope.so.1 is not found"), "{error}");
    }

    #[test]
    fn what_is_no_executable_is_refused() {
        for bytes in [&b""[..], b"#!/bin/sh\nexit 0\n", b"\x7fELF\x01\x01", &[0; 64]] {
            let refused = find_interpreter(&mut io::Cursor::new(bytes)).unwrap_err();
            assert!(matches!(refused.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof));
        }
    }

    #[test]
    fn a_real_executable_has_its_c_library() {
        let files = of(Path::new("/bin/sh")).unwrap();
        assert!(files.keys().any(|path| path.to_string_lossy().contains("libc.so")), "{files:?}");
        assert!(files.keys().any(|path| path.to_string_lossy().contains("/ld-")), "{files:?}");
    }
}
