//! The api role: bind, make sure of the admin key, serve, stop.
//!
//! It serves from the first moment, also before the database is there or migrated; `/readyz` says why it can't do its
//! work yet.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use cyberbrain_common::{
    db::{self, Pool, PoolSize},
    keys::{self, AdminKey, ensure_admin},
    ready::{self, Ready},
    telemetry,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    args::Args,
    files::{UploadKeeper, UploadStore},
    mcp::Allowed,
    routes::router,
    serve::serve,
    tls::{self, TlsError},
};

const CONNECTIONS: PoolSize = PoolSize(16);
/// Between two looks at whether the database is ready.
const PAUSE: Duration = Duration::from_millis(500);

/// Why the api can't serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{address} can't be bound; stop what listens there or choose another address with CYBER_BRAIN_BIND or --bind"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0} is not loopback, and without TLS API keys would travel in the clear: give --tls-cert and --tls-key, or \
         --allow-plaintext behind a proxy that has TLS"
    )]
    Plaintext(SocketAddr),
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    #[error("logs and metrics can't be set up")]
    Telemetry(#[from] telemetry::Error),
    #[error("DATABASE_URL is not usable")]
    Database(#[from] db::Error),
    #[error("the admin key can't be looked after")]
    AdminKey(#[from] keys::AdminKeyError),
    #[error("the ready file can't be written")]
    ReadyFile(#[source] io::Error),
}

/// Serves until `shutdown`.
///
/// # Errors
/// See [`Error`]; the address is taken, or the data directory can't be written.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let bind = |source| Error::Bind { address: args.bind, source };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        (Some(_) | None, _) => None,
    };
    if tls.is_none() && !args.bind.ip().is_loopback() && !args.allow_plaintext {
        return Err(Error::Plaintext(args.bind));
    }
    let listener = TcpListener::bind(args.bind).await.map_err(bind)?;
    let telemetry = telemetry::init(&args.telemetry, "api").await?;
    let address = listener.local_addr().map_err(bind)?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "not bound to loopback: keys travel in the clear unless TLS is in front");
    }
    let pool = db::pool_for_lists(&args.database.database_url, "cyberbrain-api", CONNECTIONS)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let announcement =
        Ready { url: Some(url.clone()), metrics_url: Some(telemetry.metrics_url), ..Ready::of("api") };

    let page_cookies = args.page_cookies.where_tls_is(tls.as_ref());
    let max_upload_bytes = u64::from(args.max_upload_mib) * 1024 * 1024;
    let uploads = UploadStore::new(args.directories.uploads_root(), max_upload_bytes);
    uploads.sweep();
    // Ends when serving ends, however that comes about.
    let stop = shutdown.child_token();
    let served = tokio::spawn({
        let allowed =
            Allowed { hosts: args.mcp_allowed_hosts.clone(), origins: args.mcp_allowed_origins.clone() };
        let app = App::new(pool.clone(), stop.clone(), uploads.clone())
            .allow_mcp(allowed)
            .limit(&args.limits)
            .page_cookies_are(page_cookies);
        let (router, stop) = (router(&app), stop.clone());
        async move { serve(listener, router, tls, &stop).await }
    });
    tracing::info!(url, docs = format!("{url}/api/docs"), "api listens");
    let keeper = UploadKeeper::new(pool.clone(), uploads, args.keep_uploads());
    let prepared = prepare(&pool, &args.directories.data_dir, &stop).await;
    let outcome = match prepared {
        Ok(()) if stop.is_cancelled() => Ok(()),
        Ok(()) => {
            ready::announce(args.supervision.ready_file.as_deref(), &announcement).map_err(Error::ReadyFile)
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        stop.cancel();
    }
    let kept = match &outcome {
        Ok(()) => tokio::spawn(keeper.run(stop.clone())),
        Err(_) => tokio::spawn(std::future::ready(())),
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "the server ended by itself");
    }
    stop.cancel();
    if let Err(error) = kept.await {
        tracing::error!(%error, "looking after uploads ended by itself");
    }
    pool.close().await;
    outcome
}

/// Waits for a migrated database and makes sure of the admin key.
async fn prepare(pool: &Pool, data_dir: &Path, stop: &CancellationToken) -> Result<(), Error> {
    let mut told = false;
    loop {
        match try_prepare(pool, data_dir).await {
            Ok(Some(key)) => {
                tell(&key);
                return Ok(());
            }
            Ok(None) if !told => tracing::info!("waiting for cyberbrain migrate"),
            Err(Error::AdminKey(keys::AdminKeyError::Database(error)) | Error::Database(error)) if !told => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
            }
            Ok(None) | Err(Error::AdminKey(keys::AdminKeyError::Database(_)) | Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
        told = true;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// `None` while migrations are missing.
async fn try_prepare(pool: &Pool, data_dir: &Path) -> Result<Option<AdminKey>, Error> {
    let mut connection = pool.acquire().await.map_err(db::Error::from)?;
    if db::pending_migrations(&mut connection).await? > 0 {
        return Ok(None);
    }
    drop(connection);
    Ok(Some(ensure_admin(pool, data_dir).await?))
}

/// The one time that a key is shown. To the terminal, not to the log: logs are kept and shipped.
fn tell(key: &AdminKey) {
    match key {
        AdminKey::Made { key, path } => {
            tracing::info!(path = %path.display(), "admin key made");
            eprintln!("admin key, shown once and kept in {}: {}", path.display(), key.expose());
        }
        AdminKey::Found { path } => tracing::debug!(path = %path.display(), "admin key found"),
        AdminKey::NotHere { path, why } => tracing::warn!("{}", why.advice(path)),
    }
}
