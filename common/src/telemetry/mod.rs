//! Logs to standard error and metrics to a listener of their own.

mod redact;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, http::header, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::redact::redact;
use self::redact::{Lines, Secrets};
use crate::{
    config::{LogFormat, TelemetryArgs},
    metric,
};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,sqlx=warn,apalis=warn,apalis_core=warn,hyper=warn,bollard=warn";

/// Why logs or metrics can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the metrics address {address} can't be bound; choose another with --metrics-bind")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the metrics exporter can't be started")]
    Exporter(#[from] metrics_exporter_prometheus::BuildError),
}

/// How often old histogram samples are folded up; without it they pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where the telemetry of this process is.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// What Prometheus scrapes.
    pub metrics_url: String,
}

/// Sets up logs and metrics for this process, once. Needs a tokio runtime.
///
/// # Errors
/// When the metrics address can't be bound, or the exporter was started before.
pub async fn init(args: &TelemetryArgs, role: &'static str) -> Result<Telemetry, Error> {
    init_logs(args);
    if !args.redact {
        tracing::warn!("DEBUG_REDACTED_MODE is off: secrets and addresses may appear in the logs");
    }
    let address = args.metrics_bind;
    let bind = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(metric::JOB_QUEUE_WAIT.into()), metric::WAIT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(metric::JOB_START.into()), metric::START_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(metric::JOB_RUN.into()), metric::RUN_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("duration_seconds".into()), metric::START_BUCKETS)?
        .install_recorder()?;
    metric::describe();
    metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "role" => role).set(1.0);
    tokio::spawn(serve(listener, handle));
    Ok(Telemetry { metrics_url: format!("http://{address}/metrics") })
}

/// Serves `/metrics` until the process ends.
async fn serve(listener: TcpListener, handle: PrometheusHandle) {
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    let render = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
    };
    if let Err(error) = axum::serve(listener, Router::new().route("/metrics", get(render))).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}

fn init_logs(args: &TelemetryArgs) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let secrets = if args.redact { Secrets::Redacted } else { Secrets::Shown };
    let writer = move || Lines(secrets);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    // A second set-up in one process (tests) keeps the first one's lines.
    let _ = match args.log_format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
}
