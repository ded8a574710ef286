//! The options that more than one role takes. clap is the reference: every option has an environment variable.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// PostgreSQL URL, e.g. postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
}

/// Where files are kept.
#[derive(Debug, Clone, Args)]
pub struct DirectoryArgs {
    /// State of this installation on this machine: keys, locks, embedded database
    #[arg(long, env = "CYBERBRAIN_DATA_DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,
    /// Root of reports, artifacts and worker logs [default: <data-dir>/logs]
    #[arg(long, env = "CYBER_BRAIN_LOGS")]
    pub logs: Option<PathBuf>,
    /// Root of uploaded files that workers may read [default: <data-dir>/uploads]
    #[arg(long, env = "CYBER_BRAIN_UPLOADS")]
    pub uploads: Option<PathBuf>,
}

impl DirectoryArgs {
    /// Root of reports, artifacts and worker logs.
    #[must_use]
    pub fn logs_root(&self) -> PathBuf {
        self.logs.clone().unwrap_or_else(|| self.data_dir.join("logs"))
    }

    /// Root of uploaded files.
    #[must_use]
    pub fn uploads_root(&self) -> PathBuf {
        self.uploads.clone().unwrap_or_else(|| self.data_dir.join("uploads"))
    }
}

/// `$XDG_DATA_HOME/cyberbrain`, `$HOME/.local/share/cyberbrain`, or `.cyberbrain` here.
fn default_data_dir() -> PathBuf {
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    base.map_or_else(|| PathBuf::from(".cyberbrain"), |base| base.join("cyberbrain"))
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Logs and metrics.
#[derive(Debug, Clone, Args)]
pub struct TelemetryArgs {
    /// Form of the log lines; RUST_LOG sets what is logged
    #[arg(long, env = "CYBERBRAIN_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Where /metrics listens; port 0 takes a free one
    #[arg(long, env = "CYBERBRAIN_METRICS_BIND", default_value = "127.0.0.1:0")]
    pub metrics_bind: SocketAddr,
    /// Keep secrets, tokens and addresses out of the logs
    #[arg(long, env = "DEBUG_REDACTED_MODE", default_value_t = true, action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new())]
    pub redact: bool,
}

/// How a role reports to whoever started it.
#[derive(Debug, Clone, Args)]
pub struct SupervisionArgs {
    /// Written once the role serves
    #[arg(long, hide = true)]
    pub ready_file: Option<PathBuf>,
}
