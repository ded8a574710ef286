//! Options of the api role.

use std::{net::SocketAddr, path::PathBuf};

use chrono::TimeDelta;
use clap::Args as ClapArgs;
use cyberbrain_common::config::{DatabaseArgs, DirectoryArgs, SupervisionArgs, TelemetryArgs};
use cyberbrain_core::retention::Policy;

use crate::{limit::LimitArgs, pages::PageCookies};

/// Serve the REST API.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one. Anything but loopback needs --tls-cert and --tls-key, or
    /// --allow-plaintext
    #[arg(long, env = "CYBER_BRAIN_BIND", default_value = "127.0.0.1:9595")]
    pub bind: SocketAddr,
    /// PEM file with the certificate chain, the own certificate first: serve HTTPS
    #[arg(long, env = "CYBERBRAIN_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(long, env = "CYBERBRAIN_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve others than this machine without TLS: API keys travel in the clear, so only behind a proxy that has TLS, or
    /// on a network that you trust
    #[arg(long, env = "CYBERBRAIN_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Further values of the Host header that MCP requests may have, e.g. the name of this service on the LAN
    #[arg(long, env = "CYBERBRAIN_MCP_ALLOWED_HOSTS", value_delimiter = ',')]
    pub mcp_allowed_hosts: Vec<String>,
    /// Further origins of browsers that may speak MCP, e.g. https://tools.example.org
    #[arg(long, env = "CYBERBRAIN_MCP_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub mcp_allowed_origins: Vec<String>,
    /// Size of one upload at most, in MiB
    #[arg(long, env = "CYBERBRAIN_MAX_UPLOAD_MIB", default_value_t = 1_024,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_upload_mib: u32,
    /// Days that uploads are kept after a run was last launched with them; 0 keeps them for good. One that a run job needs
    /// which has not ended is always kept
    #[arg(long, env = "CYBERBRAIN_KEEP_UPLOADS_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub keep_uploads_days: u32,
    /// Size of all uploads, in MiB: beyond it, those that were not used for longest are removed; 0 is no limit
    #[arg(long, env = "CYBERBRAIN_KEEP_UPLOADS_MIB", default_value_t = 0)]
    pub keep_uploads_mib: u32,
    /// When the cookies of the pages are for TLS only; choose secure where every browser comes through TLS
    #[arg(long, env = "CYBERBRAIN_PAGE_COOKIES", value_enum, default_value_t)]
    pub page_cookies: PageCookies,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub directories: DirectoryArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub supervision: SupervisionArgs,
}

impl Args {
    /// What uploads are kept.
    pub(crate) fn keep_uploads(&self) -> Policy {
        let some = |number: u32| (number > 0).then_some(number);
        Policy {
            max_age: some(self.keep_uploads_days).map(|days| TimeDelta::days(days.into())),
            max_bytes: some(self.keep_uploads_mib).map(|mib| u64::from(mib) * 1024 * 1024),
        }
    }
}
