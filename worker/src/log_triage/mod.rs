//! `log_triage`: reads the staged logs once and tells what is wrong with what logs.
//!
//! Severities are counted, messages are folded into templates, stack traces are joined, and what stands out
//! becomes findings, compared with the last success. Memory is bounded whatever the logs are; a line that can't
//! be understood is counted as such and never stops the job.

mod analysis;
mod artifact;
mod causes;
mod compare;
mod drain;
mod findings;
mod findings_file;
mod grouping;
mod kind;
mod lines;
mod mask;
mod outline;
mod reading;
mod report;
mod result;
mod settle;
mod signature;
mod tally;
mod trace;
mod variants;

pub use grouping::LogGrouping;

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use self::{analysis::Analysis, causes::Notes, compare::Comparison, lines::Lines};
use crate::{arguments::Directories, error::Error, files, progress::Progress};
use cyberbrain_core::{
    outcome::ProgressUnit,
    staging::{
        JOB_FILE, JobInput, LOG_INDEX_FILE, LOGS_FOLDER, LogIndex, LogParams, LogSource, PREVIOUS_FILE,
        PreviousResult,
    },
};

/// Lines between two looks at whether to tell progress.
const TELL_EVERY: u64 = 256;
const READ_BUFFER: usize = 64 * 1024;

/// Runs the job.
pub fn run(directories: &Directories, progress: &mut Progress<'_>) -> Result<(), Error> {
    let job: JobInput<LogParams> = files::read_json(&directories.input, JOB_FILE)?;
    let folder = directories.input.join(LOGS_FOLDER);
    let index: LogIndex = files::read_json(&folder, LOG_INDEX_FILE)?;
    let previous: Option<PreviousResult> = files::read_json_if_there(&directories.input, PREVIOUS_FILE)?;

    let sources = &index.sources;
    let analysis = read_all(&folder, sources, progress)?;

    progress.tell("comparing", 0, 1, ProgressUnit::Items);
    let comparison = Comparison::with(previous.as_ref(), job.window);
    let outline = outline::outline(&analysis, &comparison);
    let found = findings::find(&analysis, &outline, sources, &comparison);
    let notes = if job.params.llm_notes { Notes::Wanted } else { Notes::Unwanted };
    let opinion = causes::ask(&job.llm, notes, (&analysis, &outline, sources), &found, progress);
    if let Some(text) = &opinion.notes {
        files::write_text(directories, causes::NOTES_FILE, text)?;
    }
    let result =
        result::build(&analysis, &outline, &found, &comparison, &index, opinion.told.clone(), job.window)?;
    let told = report::Told {
        analysis: &analysis,
        outline: &outline,
        found: &found,
        comparison: &comparison,
        sources,
        left_out: &index.left_out,
        result: &result,
        causes: &opinion.told.causes,
    };
    let report = report::write(&told);
    let listed = findings_file::build(&analysis, &outline, &found, sources);
    files::write_json(directories, findings_file::FILE, &listed)?;
    files::write_json(directories, artifact::FILE, &artifact::build(&analysis, &outline, sources))?;
    files::write_outcome(directories, report, &result)?;
    progress.tell("done", 1, 1, ProgressUnit::Items);
    Ok(())
}

/// Reads all sources in the order of the index.
fn read_all(folder: &Path, sources: &[LogSource], progress: &mut Progress<'_>) -> Result<Analysis, Error> {
    let paths = sources.iter().map(|source| path_of(folder, source)).collect::<Result<Vec<_>, _>>()?;
    let total = sources.iter().map(|source| source.bytes).sum();
    let mut analysis = Analysis::default();
    let mut done = 0;
    progress.tell("reading logs", done, total, ProgressUnit::Bytes);
    for path in paths {
        let file = File::open(&path).map_err(|source| Error::Input { path: path.clone(), source })?;
        let mut lines = Lines::of(BufReader::with_capacity(READ_BUFFER, file));
        let mut reader = analysis.begin_source();
        let mut count = 0_u64;
        while let Some(line) = lines.next().map_err(|source| Error::Input { path: path.clone(), source })? {
            done += line.length;
            reader.line(&line);
            count += 1;
            if count.is_multiple_of(TELL_EVERY) {
                progress.tell("reading logs", done, total, ProgressUnit::Bytes);
            }
        }
        reader.finish();
    }
    analysis.settle();
    progress.tell("reading logs", done, total, ProgressUnit::Bytes);
    Ok(analysis)
}

/// Where a source's log is; only a plain file name is followed.
fn path_of(folder: &Path, source: &LogSource) -> Result<PathBuf, Error> {
    let name = Path::new(&source.file);
    if name.file_name() == Some(name.as_os_str()) {
        Ok(folder.join(name))
    } else {
        Err(Error::InputName { file: source.file.clone() })
    }
}
