//! What a launcher does beside its attempts: GPU telemetry, the list of images, the container inventory.
//!
//! Launchers of one host share a lock in the data directory, so that the host is looked at once. Losing a round of any
//! of these costs freshness only.

mod attribute;
mod offers;
mod sample;

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use cyberbrain_common::db::{self, hosts, inventory};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use offers::{hear_of_offers, look_for_offers};

use self::sample::Sampler;
use crate::{
    agent::Agent,
    enlist::held_images,
    gpu::{GpuMonitor, SimulatedGpus},
    runtime::RuntimeKind,
};

/// Images and inventory.
const SLOW_PERIOD: Duration = Duration::from_secs(60);
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Does the chores until `shutdown`.
pub(crate) async fn run(
    agent: Arc<Agent>,
    mut monitor: GpuMonitor,
    simulated: Option<SimulatedGpus>,
    data_dir: PathBuf,
    shutdown: CancellationToken,
) {
    let mut turn = Turn { path: data_dir.join(format!("chores-{}.lock", agent.host)), lock: None };
    let mut sampler = Sampler::new(Arc::clone(&agent), simulated);
    let mut slow = interval(SLOW_PERIOD);
    slow.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            reading = monitor.next() => match reading {
                Some(reading) if turn.is_ours() => sampler.take(&reading).await,
                Some(_) => {}
                // Its thread is gone: a host without telemetry.
                None => shutdown.cancelled().await,
            },
            _ = slow.tick() => {
                let ours = turn.is_ours();
                match timeout(WRITE_LIMIT, look_around(&agent, ours)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "images or containers could not be listed");
                    }
                    Err(_) => tracing::warn!("images or containers could not be listed in time"),
                }
            }
            () = shutdown.cancelled() => return,
        }
    }
}

/// Why a look around failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the engine can't be asked")]
    Engine(#[from] crate::runtime::Error),
    #[error("what was seen can't be stored")]
    Db(#[from] db::Error),
}

async fn look_around(agent: &Agent, ours: bool) -> Result<(), Error> {
    let on_engine = agent.runtime.images().await?;
    let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
    let images = held_images(&mut connection, &on_engine, &agent.worker_image).await?;
    hosts::record_images(&mut connection, agent.host, &images).await?;
    drop(connection);
    if ours && agent.kind == RuntimeKind::Docker {
        let containers = agent.runtime.inventory().await?;
        let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
        inventory::record(&mut connection, agent.host, None, &containers).await?;
    }
    Ok(())
}

/// Whose turn it is among the launchers of a host.
struct Turn {
    path: PathBuf,
    lock: Option<File>,
}

impl Turn {
    /// Whether it is ours; once it is, it stays ours until we end.
    fn is_ours(&mut self) -> bool {
        if self.lock.is_none() {
            let file = File::options().create(true).append(true).open(&self.path);
            self.lock = file.ok().filter(|file| file.try_lock().is_ok());
        }
        self.lock.is_some()
    }
}
