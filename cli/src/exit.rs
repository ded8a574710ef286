//! Exit codes, and how an error reaches the person at the terminal: once, with its causes.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Success,
    /// The command worked; what it was about failed (a Run, a check).
    Negative,
}

/// 0 success, 1 the Run or check failed, 2 the command itself failed (clap uses 2 for wrong usage too).
pub fn report(outcome: anyhow::Result<Ending>) -> ExitCode {
    match outcome {
        Ok(Ending::Success) => ExitCode::SUCCESS,
        Ok(Ending::Negative) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cyberbrain: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// A worker's exit code says what kind of failure it was.
pub fn worker(error: &cyberbrain_worker::Error) -> ExitCode {
    eprintln!("cyberbrain worker: {error}");
    ExitCode::from(error.exit_code())
}
