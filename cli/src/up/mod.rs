//! `up`: everything on this machine, each role its own process, restarted when it dies.
//!
//! Guarantees that nothing of ours outlives it: roles and PostgreSQL hang on leashes, launchers stop their workers
//! when they are told to end, and the next start ends what a killed one may have left. Deliberately absent:
//! several machines; there the roles are services (docs/OPERATIONS.md).

mod cluster;
pub mod demo;
mod lock;
mod ports;
mod process;
mod summary;

use std::net::SocketAddr;

use cyberbrain_common::{config::DirectoryArgs, shutdown};

use crate::{exit::Ending, notice::say};
use cluster::Cluster;

/// How many of what, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Shape {
    #[command(flatten)]
    pub directories: DirectoryArgs,
    /// Use this PostgreSQL instead of an own one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where the API listens [default: 127.0.0.1:9595 or the next free port]
    #[arg(long, env = "CYBER_BRAIN_BIND")]
    pub bind: Option<SocketAddr>,
    /// Scheduler processes; one leads, the others stand by
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub schedulers: u8,
    /// Launcher processes; they share this host's work
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub launchers: u8,
    /// Add simulated GPUs, e.g. 2x24576 for two with 24576 MiB each; labelled as simulated everywhere
    #[arg(long, value_name = "COUNTxMIB")]
    pub fake_gpus: Option<String>,
    /// Where workers run
    #[arg(long, default_value = "auto", value_parser = ["auto", "docker", "process"])]
    pub runtime: String,
}

/// Options of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub shape: Shape,
    /// When ready, print one line of JSON: addresses, admin key, process ids
    #[arg(long)]
    pub json: bool,
}

/// Starts everything and keeps it running until Ctrl-C.
pub async fn run(args: Args) -> anyhow::Result<Ending> {
    let end = shutdown::token()?;
    let cluster = tokio::select! {
        started = Cluster::start(&args.shape) => started?,
        () = end.cancelled() => return Ok(Ending::Success),
    };
    let summary = cluster.summary();
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        summary.print();
        say("ready; Ctrl-C ends everything");
    }
    cluster.hold(&end).await;
    cluster.stop().await?;
    Ok(Ending::Success)
}
