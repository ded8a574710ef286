//! Reading what was staged and writing the outcome.
//!
//! The result is written last: where there is a `result.json`, report and artifacts are complete.

use std::{
    fs::File,
    io::{BufReader, ErrorKind},
    path::Path,
};

use cyberbrain_core::outcome::{
    JobResult, MAX_REPORT_BYTES, MAX_RESULT_BYTES, REPORT_FILE, RESULT_FILE, validate,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{arguments::Directories, error::Error};

/// Halvings after which no list of a result has anything left.
const MAX_ROUNDS: usize = 12;
/// What ends a report that had to be cut.
const CUT_MARK: &str = "\n\n*The report was cut here: it reached its size limit.*\n";

/// Reads one staged JSON file.
pub fn read_json<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<T, Error> {
    let path = directory.join(name);
    let file = File::open(&path).map_err(|source| Error::Input { path: path.clone(), source })?;
    serde_json::from_reader(BufReader::new(file)).map_err(|source| match source.io_error_kind() {
        Some(_) => Error::Input { path: path.clone(), source: source.into() },
        None => Error::InputForm { path: path.clone(), source },
    })
}

/// Reads one staged JSON file that need not be there.
pub fn read_json_if_there<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, Error> {
    match read_json(directory, name) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Input { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes report and result, after all artifacts.
pub fn write_outcome(directories: &Directories, report: String, result: &JobResult) -> Result<(), Error> {
    write_file(directories, REPORT_FILE, cut_report(report).as_bytes())?;
    validate(result).map_err(Error::ResultRefused)?;
    let text = serde_json::to_vec(result).map_err(Error::OutcomeForm)?;
    let bytes = text.len() as u64;
    if bytes > MAX_RESULT_BYTES {
        return Err(Error::ResultTooLarge { bytes });
    }
    write_file(directories, RESULT_FILE, &text)
}

/// Writes an artifact as text.
pub fn write_text(directories: &Directories, name: &str, text: &str) -> Result<(), Error> {
    write_file(directories, name, text.as_bytes())
}

/// Writes an artifact as JSON.
pub fn write_json<T: Serialize>(directories: &Directories, name: &str, value: &T) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value).map_err(Error::OutcomeForm)?;
    text.push(b'\n');
    write_file(directories, name, &text)
}

/// Writes one file of the outcome.
pub fn write_file(directories: &Directories, name: &str, content: &[u8]) -> Result<(), Error> {
    let path = directories.output.join(name);
    std::fs::write(&path, content).map_err(|source| Error::Output { path, source })
}

/// Shortens a result until its JSON is small enough to be stored. Only very long names make that necessary;
/// `shorten` leaves about half of what takes most room.
pub fn fit(mut result: JobResult, mut shorten: impl FnMut(&mut JobResult)) -> Result<JobResult, Error> {
    for _ in 0..MAX_ROUNDS {
        let text = serde_json::to_vec(&result).map_err(Error::OutcomeForm)?;
        if text.len() as u64 <= MAX_RESULT_BYTES {
            break;
        }
        shorten(&mut result);
    }
    Ok(result)
}

/// Cuts a list and counts what was left out.
pub fn shorten<T>(list: &mut Vec<T>, limit: usize, left_out: &mut u64) {
    *left_out += list.len().saturating_sub(limit) as u64;
    list.truncate(limit);
}

fn cut_report(mut report: String) -> String {
    let limit = MAX_REPORT_BYTES as usize;
    if report.len() > limit {
        report.truncate(report.floor_char_boundary(limit - CUT_MARK.len()));
        report.push_str(CUT_MARK);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_cut_between_characters() {
        let limit = MAX_REPORT_BYTES as usize;
        assert_eq!(cut_report("x".repeat(limit)).len(), limit);
        let cut = cut_report("ü".repeat(limit));
        assert!(cut.len() <= limit && cut.ends_with(CUT_MARK));
    }
}
