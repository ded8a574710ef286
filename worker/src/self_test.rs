//! `self-test`: behaves in one exactly known way, so that an installation can check how it treats workers.
//!
//! Checks of an installation and the tests of launchers run it in real containers: does an exit code
//! arrive, is memory limited, is `/uploads` read-only, are links and pipes refused, is a flood of log bounded, does
//! SIGTERM arrive, is what ignores it killed. It is never a job of a Run that a user asks for.

use std::{io::Write, os::unix::fs::symlink, path::Path, time::Duration};

use clap::{Args, Subcommand};
use cyberbrain_core::outcome::{CustomResult, CustomValue, JobResult, ProgressUnit, RESULT_FILE};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    arguments::Directories,
    error::Error,
    files,
    progress::Progress,
    wait::{OnTerm, Tick, Waited, tick_until_term, wait},
};

const MIB: usize = 1024 * 1024;
/// Memory is asked for in such steps.
const STEP_MIB: usize = 8;
/// Length of one line of the log flood, line break included.
const LOG_LINE: usize = 1024;

/// Options of `self-test`.
#[derive(Debug, Clone, Args)]
pub struct SelfTestArgs {
    #[command(subcommand)]
    pub check: Check,
}

/// How to behave. What ends well leaves a custom result, unless it says otherwise.
#[derive(Debug, Clone, Subcommand)]
pub enum Check {
    /// Exit with this code, without a result
    Exit {
        #[arg(long)]
        code: u8,
        /// Sleep first
        #[arg(long, default_value_t = 0)]
        after_seconds: u64,
    },
    /// Sleep, then succeed
    Sleep {
        #[arg(long, default_value_t = 3_600)]
        seconds: u64,
        /// Go on as if SIGTERM had not come; only SIGKILL ends it
        #[arg(long)]
        ignore_sigterm: bool,
    },
    /// Take and touch this much memory, step by step, then succeed: the engine should end it at its limit
    Allocate {
        #[arg(long)]
        mib: usize,
    },
    /// Leave a symbolic link as `result.json`, and exit with 0
    LeaveLink {
        /// What it points at
        #[arg(long, default_value = "/etc/passwd")]
        target: String,
    },
    /// Leave a named pipe as `result.json`, and exit with 0
    LeavePipe,
    /// Leave a `result.json` with this text, whatever it is, and exit with 0
    LeaveText {
        #[arg(long)]
        text: String,
    },
    /// Leave a `result.json` of this many bytes, and exit with 0
    LeaveBytes {
        #[arg(long)]
        bytes: usize,
    },
    /// Write this much to standard output as lines of 1 KiB, then succeed
    Log {
        #[arg(long)]
        mib: usize,
    },
    /// Tell progress in so many steps with a pause after each, then succeed
    Progress {
        #[arg(long, default_value_t = 5)]
        steps: u32,
        #[arg(long, default_value_t = 200)]
        pause_ms: u64,
    },
    /// Leave so many files of this size besides result and report
    Artifacts {
        #[arg(long, default_value_t = 3)]
        files: u32,
        #[arg(long, default_value_t = 1_024)]
        bytes: usize,
    },
    /// Try to write to the uploads: fails if it can
    WriteUploads,
}

/// Behaves as asked.
pub fn run(
    args: SelfTestArgs,
    directories: &Directories,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let result_path = directories.output.join(RESULT_FILE);
    match args.check {
        Check::Exit { code, after_seconds } => {
            let mut slept = false;
            let waited = tick_until_term(Duration::from_secs(after_seconds), OnTerm::End, || {
                Ok(if std::mem::replace(&mut slept, true) { Tick::Enough } else { Tick::More })
            })?;
            match (waited, code) {
                (Waited::Terminated, _) => Err(Error::Terminated),
                (Waited::TimeIsUp, 0) => Ok(()),
                (Waited::TimeIsUp, code) => Err(Error::AskedToExit { code }),
            }
        }
        Check::Sleep { seconds, ignore_sigterm } => {
            let on_term = if ignore_sigterm { OnTerm::Ignore } else { OnTerm::End };
            // Said once SIGTERM is awaited: who reads it can send one.
            let mut said = false;
            let waited = tick_until_term(Duration::from_secs(seconds), on_term, || {
                if said {
                    return Ok(Tick::Enough);
                }
                said = true;
                let written = writeln!(stdout, "sleeping for {seconds} s").and_then(|()| stdout.flush());
                written.map_err(Error::Stdout).map(|()| Tick::More)
            })?;
            match waited {
                Waited::Terminated => Err(Error::Terminated),
                Waited::TimeIsUp => succeed(directories, "slept_seconds", seconds),
            }
        }
        Check::Allocate { mib } => {
            let held = allocate(mib);
            succeed(directories, "allocated_mib", (held / MIB) as u64)
        }
        Check::LeaveLink { target } => made(&result_path, symlink(target, &result_path)),
        Check::LeavePipe => {
            let pipe = mknodat(CWD, &result_path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
            made(&result_path, pipe.map_err(Into::into))
        }
        Check::LeaveText { text } => files::write_file(directories, RESULT_FILE, text.as_bytes()),
        Check::LeaveBytes { bytes } => files::write_file(directories, RESULT_FILE, &vec![b' '; bytes]),
        Check::Log { mib } => {
            log(mib, stdout).map_err(Error::Stdout)?;
            succeed(directories, "logged_mib", mib as u64)
        }
        Check::Progress { steps, pause_ms } => {
            let mut progress = Progress::to(stdout);
            for step in 0..=steps {
                progress.tell_now("counting", u64::from(step), u64::from(steps), ProgressUnit::Items);
                if wait(Duration::from_millis(pause_ms), OnTerm::End)? == Waited::Terminated {
                    return Err(Error::Terminated);
                }
            }
            succeed(directories, "steps", u64::from(steps))
        }
        Check::Artifacts { files: count, bytes } => {
            let content: Vec<u8> = (0..bytes).map(|at| b'a' + (at % 26) as u8).collect();
            for number in 1..=count {
                files::write_file(directories, &format!("artifact-{number}.txt"), &content)?;
            }
            succeed(directories, "artifacts", u64::from(count))
        }
        Check::WriteUploads => {
            let path = directories.uploads.join("written-by-self-test");
            match std::fs::write(&path, b"x") {
                Ok(()) => Err(Error::NotRefused { path }),
                Err(_) => succeed(directories, "refused", 1),
            }
        }
    }
}

/// Leaves a custom result with this one value, and a report.
fn succeed(directories: &Directories, name: &str, value: u64) -> Result<(), Error> {
    let number = CustomValue::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let result = JobResult::Custom(CustomResult { values: [(name.to_owned(), number)].into() });
    let report = format!("# Self-test\n\nDone: `{name}` is {value}.\n");
    files::write_outcome(directories, report, &result)
}

/// Takes memory and touches every page of it; gives how much it got.
fn allocate(mib: usize) -> usize {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    while bytes < mib * MIB {
        let step = (STEP_MIB * MIB).min(mib * MIB - bytes);
        // No zeros: those would be pages that the kernel has not given yet.
        held.push(vec![0xa5; step]);
        bytes += step;
    }
    held.iter().map(|step| std::hint::black_box(step).len()).sum()
}

fn log(mib: usize, stdout: &mut dyn Write) -> std::io::Result<()> {
    let filler = "x".repeat(LOG_LINE);
    for number in 0..mib * MIB / LOG_LINE {
        let head = format!("line {number:>9} ");
        writeln!(stdout, "{head}{}", &filler[..LOG_LINE - 1 - head.len()])?;
    }
    stdout.flush()
}

fn made(path: &Path, made: std::io::Result<()>) -> Result<(), Error> {
    made.map_err(|source| Error::SelfTest { path: path.to_owned(), source })
}
