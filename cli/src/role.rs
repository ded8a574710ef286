//! The roles and the small tools, each run to its end.

use cyberbrain_common::{
    config::DatabaseArgs,
    db::{self, PoolSize},
    keys::{self, KeyName, NewKey, Scope},
    shutdown,
};

use cyberbrain_launcher::{
    GpuArgs,
    gpu::{self, ProbeChoice, SimulatedGpus},
};

use crate::exit::Ending;

/// Serves the REST API until told to end.
pub async fn api(args: cyberbrain_api::Args) -> anyhow::Result<Ending> {
    cyberbrain_api::run(args, shutdown::token()?).await?;
    Ok(Ending::Success)
}

/// Schedules until told to end.
pub async fn scheduler(args: cyberbrain_scheduler::Args) -> anyhow::Result<Ending> {
    cyberbrain_scheduler::run(args, shutdown::token()?).await?;
    Ok(Ending::Success)
}

/// Runs workers until told to end.
pub async fn launcher(args: cyberbrain_launcher::Args) -> anyhow::Result<Ending> {
    cyberbrain_launcher::run(args, shutdown::token()?).await?;
    Ok(Ending::Success)
}

/// Guards this host until told to end.
pub async fn guard(args: cyberbrain_launcher::guard::Args) -> anyhow::Result<Ending> {
    cyberbrain_launcher::guard::run(args, shutdown::token()?).await?;
    Ok(Ending::Success)
}

/// Prints this host's GPUs as JSON.
pub fn gpu(args: GpuArgs) -> anyhow::Result<Ending> {
    let choice = match &args.fake_gpus {
        Some(text) => ProbeChoice::Simulated(SimulatedGpus::parse(text, "localhost")?),
        None => ProbeChoice::Nvml { library: args.nvml },
    };
    let description = gpu::describe(choice.open().as_mut());
    println!("{}", serde_json::to_string_pretty(&description)?);
    Ok(Ending::Success)
}

/// Options of `key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Debug, clap::Subcommand)]
enum KeyAction {
    /// Make a key without going through the API, e.g. when the admin key is lost
    Create {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Name of the key; unique
        #[arg(long)]
        name: KeyName,
        /// What it may do: viewer, operator or admin
        #[arg(long, default_value = "admin")]
        scope: Scope,
        /// Go to the database directly; the API has its own way to make keys
        #[arg(long, required = true)]
        local: bool,
    },
}

/// Makes a key and prints it, once.
pub async fn key(args: KeyArgs) -> anyhow::Result<Ending> {
    let KeyAction::Create { database, name, scope, local: _ } = args.action;
    let pool = db::pool(&database.database_url, "cyberbrain-key", PoolSize(1))?;
    let key = keys::create_local(&pool, &NewKey { name, scope, expires_at: None }).await?;
    println!("{}", key.expose());
    Ok(Ending::Success)
}
