//! `demo`: everything on this machine, one Run of all built-in jobs, and its report.
//!
//! Nothing is staged for show: the Run goes in over REST, real workers read the logs of two real containers, and
//! what is printed comes back over REST. Where no container engine answers, the workers are processes, and that is
//! said.

mod launch;
mod progress;
mod results;
mod samples;

use cyberbrain_common::shutdown;

use super::{Shape, cluster::Cluster};
use crate::{client::Client, exit::Ending, notice::say};
use results::Results;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub shape: Shape,
    /// Leave everything running until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Print one JSON object as the last line; with --keep also one when ready
    #[arg(long)]
    pub json: bool,
}

/// Runs the demo; the ending is negative when the Run did not succeed.
pub async fn run(args: Args) -> anyhow::Result<Ending> {
    let end = shutdown::token()?;
    let cluster = tokio::select! {
        started = Cluster::start(&args.shape) => started?,
        () = end.cancelled() => return Ok(Ending::Success),
    };
    if args.json && args.keep {
        println!("{}", serde_json::to_string(&cluster.summary())?);
    }
    let outcome = tokio::select! {
        outcome = play(&args, &cluster) => outcome,
        () = end.cancelled() => Ok(Ending::Negative),
    };
    if args.keep && outcome.is_ok() {
        say("everything keeps running; Ctrl-C ends it");
        cluster.hold(&end).await;
    }
    samples::remove(&cluster).await;
    cluster.stop().await?;
    outcome
}

async fn play(args: &Args, cluster: &Cluster) -> anyhow::Result<Ending> {
    let client = Client::new(cluster.api(), cluster.admin_key());
    samples::start(cluster).await?;
    let run = launch::launch(&client, args.shape.fake_gpus.as_deref()).await?;
    progress::follow(&client, &run).await?;
    let results = Results::fetch(&client, &run).await?;
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        results.print(cluster);
        if !args.keep {
            say("everything ends now; --keep leaves it running");
        }
    }
    Ok(results.ending())
}
