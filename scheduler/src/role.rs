//! The process: telemetry, database, announcement, service.

use std::time::Duration;

use cyberbrain_common::{
    db::{self, Pool, PoolSize},
    ready::{self, Ready},
    telemetry,
    wake::Backoff,
};
use cyberbrain_core::placement;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{args::Args, error::Error, options::Options, pass::told, service::Service};

/// Four hosts' commits, four handlers, and one for each loop that may look at the same time.
const CONNECTIONS: PoolSize = PoolSize(16);
/// How long the pool may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs a scheduler until `shutdown`.
///
/// # Errors
/// When it can't start. A database that is away is waited for.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let telemetry = telemetry::init(&args.telemetry, "scheduler").await?;
    let pool = db::pool(&args.database.database_url, "cyberbrain-scheduler", CONNECTIONS)?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = migrated(&pool) => {}
    }
    let mut announcement = Ready::of("scheduler");
    announcement.metrics_url = Some(telemetry.metrics_url);
    if let Some(path) = &args.supervision.ready_file {
        ready::announce(Some(path), &announcement)
            .map_err(|source| Error::Announce { path: path.clone(), source })?;
    }
    let options = Options {
        placement: placement::Options {
            strategy: args.placement_strategy.into(),
            ..placement::Options::default()
        },
        ..Options::new(format!("scheduler-{}", std::process::id()))
    };
    Service::new(pool.clone(), options).run(shutdown).await;
    // Whoever still holds a connection is told by its closing.
    let _ = tokio::time::timeout(GOODBYE, pool.close()).await;
    Ok(())
}

/// Waits until the schema is at least what this release needs.
async fn migrated(pool: &Pool) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut told_once = false;
    loop {
        let look = async {
            let mut connection = pool.acquire().await?;
            db::pending_migrations(&mut connection).await
        };
        match look.await {
            Ok(0) if told_once => return info!("the database is ready"),
            Ok(0) => return,
            Ok(missing) if !told_once => {
                warn!(missing, "the database lacks migrations; run `cyberbrain migrate`");
            }
            Err(error) if !told_once => {
                warn!(error = told(&error), "the database can't be reached, waiting for it");
            }
            Ok(_) | Err(_) => {}
        }
        told_once = true;
        tokio::time::sleep(backoff.next_pause()).await;
    }
}
