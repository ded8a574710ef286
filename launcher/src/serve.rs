//! A launcher process from its start to its end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{self, PoolSize, instance::Instance, launchers, offers},
    file_root,
    queue::Consumer,
    ready, telemetry,
    wake::{CAPACITY_FREED, Debouncer},
};
use sqlx::Connection;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept,
    agent::{Agent, Limits},
    args::Args,
    chores, contact,
    enlist::{self, Enlisted, Shared},
    error::Error,
    files::FileServer,
    gateway,
    grants::Grants,
    guard::Beacon,
    layout::{Layout, Translation},
    orders::Order,
    preflight,
    progress::ProgressSink,
    reconcile, report_files, retention,
    runtime::User,
    station::{Station, stations},
};

/// Wakes of the scheduler are at least this far apart.
const FREED_QUIET: Duration = Duration::from_millis(20);
/// How long supervisors may take to let go.
const LET_GO_LIMIT: Duration = Duration::from_secs(10);
/// What stopping workers may take on top of their grace.
const STOP_MARGIN: Duration = Duration::from_secs(90);
const HAND_OVER_LIMIT: Duration = Duration::from_secs(10);
/// With more hosts than this in one process, offers are found by looking instead of by a queue consumer per host.
const MAX_CONSUMERS: usize = 8;

/// What becomes of the workers when the launcher ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// They live on, for a sibling or the next launcher.
    HandOver,
    /// They are stopped and removed.
    StopWorkers,
}

/// Runs the role until `shutdown`.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let telemetry = telemetry::init(&args.telemetry, "launcher").await?;
    let stations = stations(&args).await?;
    serve(&args, stations, Some(&telemetry.metrics_url), shutdown).await
}

/// Plays these hosts until `shutdown`. Logs and metrics are the caller's.
///
/// # Errors
/// [`Error`].
pub async fn serve(
    args: &Args,
    stations: Vec<Station>,
    metrics_url: Option<&str>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let layout = layout(args)?;
    let grants = Grants::new(&args.grants)?;
    let url = &args.database.database_url;
    let size = PoolSize(10 + u32::try_from(stations.len() / 4).unwrap_or(30).min(30));
    let pool = db::pool(url, "cyberbrain-launcher", size)?;
    let Some(instance) = enlist::await_database(&pool, &shutdown).await else { return Ok(()) };
    let (files, files_url) = listen_for_files(args, &layout, &instance).await?;
    let gateway = match stations.first() {
        Some(station) if args.llm.llm_endpoints.is_some() => {
            let host = station.runtime.host_address().await?;
            gateway::start(&args.llm, host, &instance, &pool)?
        }
        Some(_) | None => None,
    };
    let (gateway, access) = gateway.unzip();
    let shared = Shared {
        files_url,
        gateway: access,
        instance,
        layout,
        limits: Limits::from(&args.limits),
        grants,
        progress: Arc::new(ProgressSink::default()),
        freed: Arc::new(Debouncer::notify(pool.clone(), CAPACITY_FREED, FREED_QUIET)),
        tasks: TaskTracker::new(),
        pool,
    };
    let labels = args.label_map();
    let mut enlisted = Vec::new();
    for station in stations {
        let host = enlist::prepare(&shared, station).await?;
        if !args.engine.skip_preflight {
            preflight::run(&host.ground(shared.instance.id)).await?;
        }
        enlisted.push(host.register(&shared, &labels, metrics_url).await?);
    }
    let identities: Vec<(Arc<Agent>, String)> =
        enlisted.iter().map(|host| (Arc::clone(&host.agent), host.engine_id.clone())).collect();
    let agents: Vec<Arc<Agent>> = identities.iter().map(|(agent, _)| Arc::clone(agent)).collect();
    let beacon = Arc::new(Beacon::new(&args.directories.data_dir, &identities)?);
    let on_exit = if args.stop_workers_on_exit { OnExit::StopWorkers } else { OnExit::HandOver };

    // What takes work ends first; what shows that we live ends last.
    let working = shutdown.child_token();
    let living = CancellationToken::new();
    let workers = TaskTracker::new();
    for Enlisted { agent, monitor, station, .. } in enlisted {
        workers.spawn(accept::run(Arc::clone(&agent), working.clone()));
        workers.spawn(reconcile::run(Arc::clone(&agent), working.clone()));
        workers.spawn(chores::run(
            Arc::clone(&agent),
            monitor,
            station.simulated_gpus(),
            args.directories.data_dir.clone(),
            working.clone(),
        ));
        if agents.len() <= MAX_CONSUMERS {
            workers.spawn(consume(agent, working.clone()));
        }
    }
    workers.spawn(report_files::run(agents.clone(), working.clone()));
    workers.spawn(retention::run(agents.clone(), args.keep.policy(), working.clone()));
    workers.spawn(chores::hear_of_offers(agents.clone(), working.clone()));
    if agents.len() > MAX_CONSUMERS {
        workers.spawn(chores::look_for_offers(agents.clone(), working.clone()));
    }
    let progress = {
        let (sink, pool, living) = (Arc::clone(&shared.progress), shared.pool.clone(), living.clone());
        tokio::spawn(async move { sink.run(&pool, living).await })
    };
    let files = tokio::spawn(files.serve(living.clone()));
    let gateway = gateway.map(|gateway| tokio::spawn(gateway.serve(living.clone())));
    let contacts = {
        let (url, agents, living) = (url.clone(), agents.clone(), living.clone());
        let beacon = Arc::clone(&beacon);
        tokio::spawn(async move { contact::run(&url, &agents, &beacon, living).await })
    };
    tokio::pin!(contacts);

    let mut outcome = announce(args, &agents, metrics_url, &shutdown).await;
    let mut ended = None;
    if outcome.is_ok() {
        tokio::select! {
            () = shutdown.cancelled() => {}
            end = &mut contacts => ended = end.ok(),
        }
    }
    working.cancel();
    workers.close();
    leave(&shared, &agents, on_exit).await;
    workers.wait().await;
    living.cancel();
    match ended {
        Some(contact::End::Ended) => outcome = Err(Error::Ended),
        Some(contact::End::Shutdown) => {}
        None => {
            let _ = contacts.await;
        }
    }
    if on_exit == OnExit::StopWorkers {
        beacon.farewell();
    }
    let _ = progress.await;
    let _ = files.await;
    if let Some(gateway) = gateway {
        // Its last rows need the pool.
        let _ = gateway.await;
    }
    drop(agents);
    shared.tasks.close();
    shared.freed.wake();
    shared.pool.close().await;
    outcome
}

/// The file server, and where the api is told to find it.
async fn listen_for_files(
    args: &Args,
    layout: &Layout,
    instance: &Instance,
) -> Result<(FileServer, String), Error> {
    let address = args.files.files_bind;
    let bound = async {
        let server = FileServer::bind(address, layout.logs.clone(), instance.secret.clone()).await?;
        let own = server.url()?;
        Ok((server, own))
    };
    let (server, own) = bound.await.map_err(|source| Error::Files { address, source })?;
    let url = args.files.files_url.clone().unwrap_or(own);
    tracing::info!(url, "file server listens");
    Ok((server, url))
}

/// Says that the role serves, once every host has been reconciled.
async fn announce(
    args: &Args,
    agents: &[Arc<Agent>],
    metrics_url: Option<&str>,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    for agent in agents {
        let mut reconciled = agent.reconciled.subscribe();
        tokio::select! {
            _ = reconciled.wait_for(|reconciled| *reconciled) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
    if let Some(agent) = agents.first() {
        agent.freed.wake();
    }
    let ready = ready::Ready { metrics_url: metrics_url.map(str::to_owned), ..ready::Ready::of("launcher") };
    ready::announce(args.supervision.ready_file.as_deref(), &ready).map_err(Error::Announce)
}

/// A queue task says: look at the offers.
async fn consume(agent: Arc<Agent>, shutdown: CancellationToken) {
    let owner = format!("launcher-{}", agent.host_name);
    let consumer = Consumer::launch(&agent.pool, &owner, agent.host);
    let handler = move |_task| {
        agent.offers.notify_one();
        async {}
    };
    consumer.run(handler, shutdown).await;
}

/// Gives everything out of our hands: to whoever comes next, or to nobody.
async fn leave(shared: &Shared, agents: &[Arc<Agent>], on_exit: OnExit) {
    let driven: usize = agents.iter().map(|agent| agent.register.len()).sum();
    tracing::info!(driven, ?on_exit, "leaving");
    if on_exit == OnExit::StopWorkers {
        let grace = agents
            .iter()
            .flat_map(|agent| agent.register.watched())
            .map(|watched| watched.stop_grace_seconds);
        let limit = Duration::from_secs(grace.max().unwrap_or(0).into()) + STOP_MARGIN;
        for agent in agents {
            agent.register.order_all(Order::StopForExit);
        }
        if timeout(limit, all_empty(agents)).await.is_err() {
            tracing::error!(
                limit_s = limit.as_secs(),
                "some workers could not be stopped in time; they are left to the next launcher"
            );
        }
    }
    for agent in agents {
        let unsettled = agent.register.unsettled();
        agent.register.order_all(Order::LetGo);
        // What is only being cleared up goes on.
        if timeout(LET_GO_LIMIT, agent.register.empty()).await.is_err() {
            tracing::warn!("some supervisors did not let go in time");
        }
        let hand_over = async {
            let mut connection = shared.pool.acquire().await?;
            let mut tx = connection.begin().await?;
            offers::hand_over(&mut tx, &unsettled, &Agent::actor()).await?;
            launchers::end(&mut tx, agent.launcher).await?;
            tx.commit().await?;
            Ok::<_, db::Error>(())
        };
        match timeout(HAND_OVER_LIMIT, hand_over).await {
            Ok(Ok(())) => tracing::info!(attempts = unsettled.len(), "handed over"),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "not handed over; the scheduler will notice our silence"
                );
            }
            Err(_) => tracing::warn!("not handed over in time; the scheduler will notice our silence"),
        }
    }
}

async fn all_empty(agents: &[Arc<Agent>]) {
    for agent in agents {
        agent.register.empty().await;
    }
}

fn layout(args: &Args) -> Result<Layout, Error> {
    let directories = &args.directories;
    for path in [&directories.data_dir, &directories.logs_root(), &directories.uploads_root()] {
        enlist::make_directory(path)?;
    }
    let logs = absolute(directories.logs_root())?;
    let root = file_root::id_of(&logs).map_err(|source| Error::Directory { path: logs.clone(), source })?;
    Ok(Layout {
        logs,
        root,
        uploads: absolute(directories.uploads_root())?,
        translation: Translation::default(),
        worker: User::for_workers(),
    })
}

/// Mounts want absolute paths without links.
fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    std::fs::canonicalize(&path).map_err(|source| Error::Directory { path, source })
}
