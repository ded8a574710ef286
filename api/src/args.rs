//! Options of the api role.

use std::net::SocketAddr;

use clap::Args as ClapArgs;
use cyberbrain_common::config::{DatabaseArgs, DirectoryArgs, SupervisionArgs, TelemetryArgs};

/// Serve the REST API.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one. Keys travel in the clear: put TLS in front before
    /// binding to anything but loopback
    #[arg(long, env = "CYBER_BRAIN_BIND", default_value = "127.0.0.1:9595")]
    pub bind: SocketAddr,
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
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub directories: DirectoryArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub supervision: SupervisionArgs,
}
