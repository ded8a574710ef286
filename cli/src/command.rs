//! The subcommands, and where each one goes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cyberbrain_common::{config::DatabaseArgs, db};

use crate::{
    exit::{self, Ending},
    probe, role, up,
};

/// Durable GPU job queue: REST in, Docker workers out, nothing lost in between.
#[derive(Debug, Parser)]
#[command(name = "cyberbrain", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine and launch one Run of the built-in jobs
    Demo(up::demo::Args),
    /// Start everything on this machine and keep it running
    Up(up::Args),
    /// Serve the REST API
    Api(cyberbrain_api::Args),
    /// Place jobs on hosts and GPUs, close runs, notice what fell silent
    Scheduler(cyberbrain_scheduler::Args),
    /// Run workers on this host
    Launcher(Box<cyberbrain_launcher::Args>),
    /// Stop this host's workers when the host loses contact
    Guard(cyberbrain_launcher::guard::Args),
    /// Run one of the built-in jobs (inside a worker)
    Worker(cyberbrain_worker::Args),
    /// Bring the database up to date
    Migrate(DatabaseArgs),
    /// Show this host's GPUs
    Gpu(cyberbrain_launcher::GpuArgs),
    /// Ask an address once, for health checks
    Probe(probe::Args),
    /// Make an API key with direct access to the database
    Key(role::KeyArgs),
}

impl Cli {
    /// Runs the chosen command to its end.
    pub fn run(self) -> ExitCode {
        if let Command::Worker(args) = self.command {
            // A worker is one small job: it needs no runtime, and its exit code is its own.
            return match cyberbrain_worker::run(args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => exit::worker(&error),
            };
        }
        let outcome = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(dispatch(self.command)));
        exit::report(outcome)
    }
}

async fn dispatch(command: Command) -> anyhow::Result<Ending> {
    match command {
        Command::Demo(args) => up::demo::run(args).await,
        Command::Up(args) => up::run(args).await,
        Command::Api(args) => role::api(args).await,
        Command::Scheduler(args) => role::scheduler(args).await,
        Command::Launcher(args) => role::launcher(*args).await,
        Command::Guard(args) => role::guard(args).await,
        Command::Worker(_) => unreachable!("workers run without this runtime"),
        Command::Migrate(args) => {
            db::migrate(&args.database_url).await.map(|()| Ending::Success).map_err(Into::into)
        }
        Command::Gpu(args) => role::gpu(args),
        Command::Probe(args) => probe::run(args).await,
        Command::Key(args) => role::key(args).await,
    }
}
