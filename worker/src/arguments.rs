//! The command line of a worker, and what runs for it.

use std::{io::Write, path::PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use cyberbrain_core::staging::{INPUT_DIR, OUTPUT_DIR, UPLOADS_DIR};

use crate::{
    error::Error,
    gpu_report, log_triage,
    progress::Progress,
    sample_log::{self, SampleLogArgs},
    self_test::{self, SelfTestArgs},
    service_map,
};

/// `cyberbrain worker …`
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub directories: Directories,
    #[command(subcommand)]
    pub job: Job,
}

/// Where a worker finds its input and leaves its outcome. The defaults are those inside a container.
#[derive(Debug, Clone, ClapArgs)]
pub struct Directories {
    /// What the launcher staged
    #[arg(long = "input", env = "CYBERBRAIN_INPUT_DIR", default_value = INPUT_DIR, global = true)]
    pub input: PathBuf,
    /// Where result, report and artifacts go
    #[arg(long = "output", env = "CYBERBRAIN_OUTPUT_DIR", default_value = OUTPUT_DIR, global = true)]
    pub output: PathBuf,
    /// The uploads that were asked for
    #[arg(long = "uploads", env = "CYBERBRAIN_UPLOADS_DIR", default_value = UPLOADS_DIR, global = true)]
    pub uploads: PathBuf,
}

/// What a worker can do.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Read the staged logs: severities, message templates, stack traces, findings
    #[command(alias = "log_triage")]
    LogTriage,
    /// Sum up the staged GPU samples and leases
    #[command(alias = "gpu_report")]
    GpuReport,
    /// Draw the staged container inventory as services and what ties them together
    #[command(alias = "service_map")]
    ServiceMap,
    /// Log like a web service or a database, with planted faults, then idle until SIGTERM
    SampleLog(SampleLogArgs),
    /// Behave in one exactly known way: the self-test job of an installation
    #[command(alias = "test-job", hide = true)]
    SelfTest(SelfTestArgs),
}

/// Runs one job to its end; progress goes to standard output.
///
/// Blocks, and is meant to be called from `main` itself: no async runtime is needed.
///
/// # Errors
/// Says what stopped the job; [`Error::exit_code`] is what the process should end with.
pub fn run(args: Args) -> Result<(), Error> {
    execute(args, &mut std::io::stdout())
}

/// [`run`] with another place for what would go to standard output.
///
/// # Errors
/// As [`run`].
pub fn execute(args: Args, stdout: &mut (dyn Write + Send)) -> Result<(), Error> {
    let Args { directories, job } = args;
    match job {
        Job::LogTriage => log_triage::run(&directories, &mut Progress::to(stdout)),
        Job::GpuReport => gpu_report::run(&directories, &mut Progress::to(stdout)),
        Job::ServiceMap => service_map::run(&directories, &mut Progress::to(stdout)),
        Job::SampleLog(args) => sample_log::run(&args, stdout),
        Job::SelfTest(args) => self_test::run(args, &directories, stdout),
    }
}
