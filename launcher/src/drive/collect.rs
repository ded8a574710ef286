//! Reads what a worker left in its `out/` directory, after its container has ended: the result, and the list of files.
//!
//! Guarantees: only regular files below the directory are read (see [`crate::beneath`]), bounded in number, depth and
//! size; the result is parsed into its closed type and checked before anybody sees it; what is listed is on the disk.
//! Deliberately absent: the database.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use cyberbrain_common::db::artifacts::{ArtifactFile, ArtifactType};
use cyberbrain_core::{
    job_kind::JobKind,
    outcome::{
        self, JobResult, MAX_REPORT_BYTES, MAX_RESULT_BYTES, OutputSchema, REPORT_FILE, RESULT_FILE, validate,
    },
};
use sha2::{Digest, Sha256};

use crate::{
    beneath::{Beneath, Found},
    layout::AttemptDir,
};

/// Directories in directories that are looked into.
const MAX_DEPTH: usize = 8;
/// Longest path that the database takes.
const MAX_PATH_CHARACTERS: usize = 512;

/// What may be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub files: usize,
    pub bytes: u64,
}

/// What was there.
#[derive(Debug)]
pub(super) struct Collected {
    pub result: Result<JobResult, ResultProblem>,
    pub files: Vec<ArtifactFile>,
    /// Links, FIFOs, devices, names that are no text, and what was beyond the caps.
    pub left_out: u64,
}

/// Why there is no result. The texts are ours: nothing of the worker's is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResultProblem {
    #[error("it ended well but left no {RESULT_FILE} in /logs")]
    Missing,
    #[error("its {RESULT_FILE} is no regular file")]
    NotAFile,
    #[error("its {RESULT_FILE} has {bytes} bytes; {MAX_RESULT_BYTES} are allowed")]
    TooLarge { bytes: u64 },
    #[error("its {RESULT_FILE} is not of the documented form (line {line}, column {column})")]
    Form { line: usize, column: usize },
    #[error("its {RESULT_FILE} is refused: {0}")]
    Refused(outcome::Problem),
    #[error("its {RESULT_FILE} is a result of another kind of job")]
    WrongKind,
    #[error("its {RESULT_FILE} can't be read ({0})")]
    Unreadable(io::ErrorKind),
}

/// Reads everything.
///
/// # Errors
/// When the directory itself can't be read; a file that can't be is left out.
pub(super) fn collect(dir: &AttemptDir, task_key: &str, caps: Caps) -> io::Result<Collected> {
    let out = Beneath::open(&dir.output())?;
    let result = read_result(&out).and_then(|result| fits(result, task_key));
    let Listed { files, left_out } = list(dir, caps)?;
    Ok(Collected { result, files, left_out })
}

/// The files that are there, whatever they are worth.
#[derive(Debug)]
pub(crate) struct Listed {
    pub files: Vec<ArtifactFile>,
    pub left_out: u64,
}

/// Lists what the worker left and what was seen of its output.
///
/// # Errors
/// When a directory can't be read; a file that can't be is left out.
pub(crate) fn list(dir: &AttemptDir, caps: Caps) -> io::Result<Listed> {
    let mut walk = Walk { dir, caps, files: Vec::new(), left_out: 0 };
    match Beneath::open(&dir.output()) {
        Ok(out) => walk.directory(&out, &dir.output(), MAX_DEPTH)?,
        // It did not come as far as that.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for (_, path) in dir.segments()? {
        // Ours, so it is opened plainly; listed beyond the worker's cap.
        walk.caps.files += 1;
        walk.add(File::open(&path)?, &path, ArtifactType::Log, u64::MAX)?;
    }
    Ok(Listed { files: walk.files, left_out: walk.left_out })
}

fn read_result(out: &Beneath) -> Result<JobResult, ResultProblem> {
    let name = CString::new(RESULT_FILE).expect("the constant has no NUL");
    let unreadable = |error: io::Error| ResultProblem::Unreadable(error.kind());
    let file = match out.find(&name).map_err(unreadable)? {
        None => return Err(ResultProblem::Missing),
        Some(Found::Directory(_) | Found::Other) => return Err(ResultProblem::NotAFile),
        Some(Found::File(file)) => file,
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MAX_RESULT_BYTES {
        return Err(ResultProblem::TooLarge { bytes });
    }
    let mut text = Vec::new();
    file.take(MAX_RESULT_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    let result = serde_json::from_slice(&text)
        .map_err(|error| ResultProblem::Form { line: error.line(), column: error.column() })?;
    validate(&result).map_err(ResultProblem::Refused)?;
    Ok(result)
}

/// A built-in job's result is of its own kind; all other jobs leave custom results.
fn fits(result: JobResult, task_key: &str) -> Result<JobResult, ResultProblem> {
    if result.kind() == JobKind::of(task_key) { Ok(result) } else { Err(ResultProblem::WrongKind) }
}

/// What the job itself says of its result, if it does.
pub(super) fn as_declared(
    result: JobResult,
    declared: Option<&OutputSchema>,
) -> Result<JobResult, ResultProblem> {
    match (&result, declared) {
        (JobResult::Custom(custom), Some(schema)) => {
            schema.check(custom).map_err(ResultProblem::Refused)?;
        }
        (
            JobResult::Custom(_)
            | JobResult::LogTriage(_)
            | JobResult::GpuReport(_)
            | JobResult::ServiceMap(_),
            _,
        ) => {}
    }
    Ok(result)
}

struct Walk<'a> {
    dir: &'a AttemptDir,
    caps: Caps,
    files: Vec<ArtifactFile>,
    left_out: u64,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Beneath, path: &Path, depth: usize) -> io::Result<()> {
        // One more than is taken, so that there is something to count as left out.
        for name in directory.names(self.caps.files + 1)? {
            let Some(path) = readable(&name).map(|name| path.join(name)) else {
                self.left_out += 1;
                continue;
            };
            match directory.find(&name) {
                Ok(Some(Found::File(file))) => self.worker_file(file, &path, depth)?,
                Ok(Some(Found::Directory(inner))) if depth > 0 => self.directory(&inner, &path, depth - 1)?,
                Ok(Some(Found::Directory(_) | Found::Other)) | Err(_) => self.left_out += 1,
                Ok(None) => {}
            }
        }
        directory.sync()
    }

    fn worker_file(&mut self, file: File, path: &Path, depth: usize) -> io::Result<()> {
        let top = depth == MAX_DEPTH;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = if top && name == REPORT_FILE { ArtifactType::Report } else { kind_of(name) };
        if kind == ArtifactType::Report && file.metadata()?.len() > MAX_REPORT_BYTES {
            cut(path, &file)?;
        }
        let room = self.caps.bytes;
        if let Some(size) = self.add(file, path, kind, room)? {
            self.caps.bytes -= size;
        }
        Ok(())
    }

    /// Lists one file, if it fits; its size then.
    fn add(&mut self, mut file: File, path: &Path, kind: ArtifactType, room: u64) -> io::Result<Option<u64>> {
        let relative = self.dir.relative(path).filter(|path| path.chars().count() <= MAX_PATH_CHARACTERS);
        let size_bytes = file.metadata()?.len();
        let (Some(relative), true, true) = (relative, self.files.len() < self.caps.files, size_bytes <= room)
        else {
            self.left_out += 1;
            return Ok(None);
        };
        let mut hash = Sha256::new();
        let hashed = io::copy(&mut (&mut file).take(size_bytes), &mut hash)?;
        file.sync_all()?;
        let mime_type =
            mime_of(path.extension().and_then(|extension| extension.to_str()).unwrap_or_default());
        let sha256 = hash.finalize().into();
        self.files.push(ArtifactFile { kind, path: relative, size_bytes: hashed, sha256, mime_type });
        Ok(Some(hashed))
    }
}

/// A name that can be shown and addressed.
fn readable(name: &CStr) -> Option<PathBuf> {
    let name = name.to_str().ok()?;
    (!name.chars().any(char::is_control)).then(|| name.into())
}

/// Cuts a report that is too large, at the end of a character.
fn cut(path: &Path, file: &File) -> io::Result<()> {
    let mut head = Vec::new();
    file.take(MAX_REPORT_BYTES).read_to_end(&mut head)?;
    let whole = std::str::from_utf8(&head).map_or_else(|error| error.valid_up_to(), str::len);
    // The file was opened beneath the directory a moment ago, and nothing runs there any more.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    let writable = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    writable.set_len(whole as u64)?;
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
    Ok(())
}

fn kind_of(name: &str) -> ArtifactType {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "log" => ArtifactType::Log,
        "json" | "jsonl" | "ndjson" | "csv" | "tsv" | "parquet" | "xml" | "yaml" | "yml" | "toml" => {
            ArtifactType::Data
        }
        "md" | "html" | "pdf" => ArtifactType::Report,
        _ => ArtifactType::Other,
    }
}

fn mime_of(extension: &str) -> &'static str {
    match extension {
        "md" => "text/markdown; charset=utf-8",
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "csv" => "text/csv; charset=utf-8",
        "log" | "txt" | "yaml" | "yml" | "toml" | "tsv" => "text/plain; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "xml" => "application/xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "gz" => "application/gzip",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
