//! The options of the role `launcher`.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, str::FromStr};

use chrono::TimeDelta;
use clap::{Args as ClapArgs, ValueEnum};
use cyberbrain_common::config::{DatabaseArgs, DirectoryArgs, SupervisionArgs, TelemetryArgs};
use cyberbrain_core::{grant::is_plain_name, retention::Policy};

use crate::runtime::GpuInjection;

/// Runs workers on this machine.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub directories: DirectoryArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub supervision: SupervisionArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub gpus: GpuArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub files: FileArgs,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub llm: LlmArgs,
    #[command(flatten)]
    pub grants: GrantArgs,
    /// Name of this host [default: the machine's host name; in a container, that of the engine's machine]
    #[arg(long, env = "CYBERBRAIN_HOST")]
    pub host: Option<String>,
    /// Label of this host, key=value; may be given several times
    #[arg(long = "label", env = "CYBERBRAIN_LABELS", value_delimiter = ',')]
    pub labels: Vec<Label>,
    /// On SIGTERM stop this launcher's workers, instead of leaving them to a sibling or the next launcher
    #[arg(long)]
    pub stop_workers_on_exit: bool,
}

/// Which engine runs the workers.
#[derive(Debug, Clone, ClapArgs)]
pub struct EngineArgs {
    /// What runs the workers
    #[arg(long, env = "CYBERBRAIN_RUNTIME", value_enum, default_value = "auto")]
    pub runtime: RuntimeChoice,
    /// Address of the container engine [default: the usual socket]
    #[arg(long, env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
    /// How the engine gives GPUs to containers: device-requests, cdi or env
    #[arg(long, env = "CYBERBRAIN_GPU_INJECTION", default_value = "device-requests")]
    pub gpu_injection: GpuInjection,
    /// Don't try out mounts and network at the start
    #[arg(long, env = "CYBERBRAIN_SKIP_PREFLIGHT")]
    pub skip_preflight: bool,
    /// With --runtime simulated: how many hosts to play
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub hosts: u32,
}

/// Which GPUs there are.
#[derive(Debug, Clone, ClapArgs)]
pub struct GpuArgs {
    /// Simulated GPUs instead of real ones, <count>x<MiB>, e.g. 2x24576; per host with --runtime simulated
    #[arg(long, visible_alias = "gpus", env = "CYBERBRAIN_FAKE_GPUS")]
    pub fake_gpus: Option<String>,
    /// Path of NVIDIA's management library [default: by its usual name]
    #[arg(long, env = "CYBERBRAIN_NVML")]
    pub nvml: Option<PathBuf>,
}

/// How the api reads the files of this host.
#[derive(Debug, Clone, ClapArgs)]
pub struct FileArgs {
    /// Address and port where the api reads logs and artifacts of this host; port 0 takes a free one. With an api on
    /// another machine: an address that it reaches, on a network that you trust
    #[arg(long, env = "CYBERBRAIN_FILES_BIND", default_value = "127.0.0.1:0")]
    pub files_bind: SocketAddr,
    /// What the api is told to connect to, e.g. http://gpu-7:9700 [default: what --files-bind says, with this machine's
    /// name if that is all addresses]
    #[arg(long, env = "CYBERBRAIN_FILES_URL", value_parser = plain_url)]
    pub files_url: Option<String>,
}

/// How long files of ended runs are kept.
#[derive(Debug, Clone, ClapArgs)]
pub struct KeepArgs {
    /// Days that logs and artifacts of ended runs are kept on this host; 0 keeps them for good
    #[arg(long, env = "CYBERBRAIN_KEEP_ARTIFACTS_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub keep_artifacts_days: u32,
    /// Size of all logs and artifacts on this host, in MiB: beyond it, those of ended runs are removed, oldest first; 0 is
    /// no limit
    #[arg(long, env = "CYBERBRAIN_KEEP_ARTIFACTS_MIB", default_value_t = 0)]
    pub keep_artifacts_mib: u32,
}

impl KeepArgs {
    pub(crate) fn policy(&self) -> Policy {
        let some = |number: u32| (number > 0).then_some(number);
        Policy {
            max_age: some(self.keep_artifacts_days).map(|days| TimeDelta::days(days.into())),
            max_bytes: some(self.keep_artifacts_mib).map(|mib| u64::from(mib) * 1024 * 1024),
        }
    }
}

/// What jobs of this host may be given by name.
#[derive(Debug, Clone, ClapArgs)]
pub struct GrantArgs {
    /// Directory whose files are secrets: a job that names one finds it, read-only, in /run/secrets
    #[arg(long, env = "CYBERBRAIN_SECRETS_DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Directory of models, name=/path, for jobs that name it, read-only; may be given several times
    #[arg(long = "model-cache", env = "CYBERBRAIN_MODEL_CACHES", value_delimiter = ',')]
    pub model_caches: Vec<CacheArg>,
    /// File with logins for registries, of the form of Docker's config.json, for images that are pulled
    #[arg(long, env = "CYBERBRAIN_REGISTRY_AUTH_FILE")]
    pub registry_auth_file: Option<PathBuf>,
}

/// `name=/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheArg {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for CacheArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if is_plain_name(name) && path.starts_with('/') => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            Some(_) | None => Err(format!("{text:?} is no model cache: write name=/path")),
        }
    }
}

/// How workers reach language models.
#[derive(Debug, Clone, ClapArgs)]
pub struct LlmArgs {
    /// JSON file that names endpoints of language models for workers; without it workers have none
    #[arg(long, env = "CYBERBRAIN_LLM_ENDPOINTS")]
    pub llm_endpoints: Option<PathBuf>,
    /// Address and port where workers find the LLM gateway, the same for all launchers of a host [default: that of the
    /// engine's bridge, and a port of this installation]
    #[arg(long, env = "CYBERBRAIN_LLM_BIND")]
    pub llm_bind: Option<SocketAddr>,
    /// What workers are told, e.g. http://172.17.0.1:9710/v1 [default: what --llm-bind says]
    #[arg(long, env = "CYBERBRAIN_LLM_URL", value_parser = plain_url)]
    pub llm_url: Option<String>,
    /// Tokens that one attempt may use; the call that goes over it is the last [default: no limit]
    #[arg(long, env = "CYBERBRAIN_LLM_ATTEMPT_TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    pub llm_attempt_tokens: Option<u64>,
    /// Calls that one attempt may have open at once, per launcher
    #[arg(long, env = "CYBERBRAIN_LLM_ATTEMPT_CALLS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub llm_attempt_calls: u32,
}

/// `http://host` with or without a port and a path: what our clients can connect to.
fn plain_url(text: &str) -> Result<String, &'static str> {
    let wrong = "it is no address like http://gpu-7:9700";
    let url: hyper::Uri = text.parse().map_err(|_| wrong)?;
    let plain = url.scheme_str() == Some("http") && url.authority().is_some() && url.query().is_none();
    plain.then(|| text.to_owned()).ok_or(wrong)
}

/// Bounds on what workers may use of this machine.
#[derive(Debug, Clone, ClapArgs)]
pub struct LimitArgs {
    /// Workers at once on this host
    #[arg(long, env = "CYBERBRAIN_MAX_WORKERS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_workers: u32,
    /// Output of one worker that is kept, in MiB
    #[arg(long, env = "CYBERBRAIN_LOG_KEEP_MIB", default_value_t = 64)]
    pub log_keep_mib: u32,
    /// A worker that writes more output than this is stopped, in MiB
    #[arg(long, env = "CYBERBRAIN_LOG_QUOTA_MIB", default_value_t = 256)]
    pub log_quota_mib: u32,
    /// What one log triage reads of one container, in MiB
    #[arg(long, env = "CYBERBRAIN_STAGED_LOG_MIB", default_value_t = 32)]
    pub staged_log_mib: u32,
    /// Files of one worker that become artifacts
    #[arg(long, env = "CYBERBRAIN_ARTIFACT_FILES", default_value_t = 1_000)]
    pub artifact_files: u32,
    /// Size of all artifacts of one worker, in MiB
    #[arg(long, env = "CYBERBRAIN_ARTIFACT_MIB", default_value_t = 10_240)]
    pub artifact_mib: u32,
}

/// What runs the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Docker where an engine answers, else processes.
    Auto,
    /// A Docker engine.
    Docker,
    /// Child processes, without isolation; the built-in worker only.
    Process,
    /// Nothing runs: for tests and load.
    Simulated,
}

/// `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    key: String,
    value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            Some(_) | None => Err(format!("{text:?} is no label: write key=value")),
        }
    }
}

impl Args {
    /// The labels; a later one replaces an earlier one of the same key.
    #[must_use]
    pub fn label_map(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::plain_url;

    #[test]
    fn only_addresses_that_the_api_can_connect_to_are_taken() {
        for good in ["http://gpu-7:9700", "http://10.0.0.7", "http://[::1]:9700/files-of/gpu-7"] {
            assert_eq!(plain_url(good).as_deref(), Ok(good));
        }
        for bad in ["", "gpu-7:9700", "https://gpu-7", "http://", "http://a b", "http://gpu-7?x", "/files"] {
            assert!(plain_url(bad).is_err(), "{bad}");
        }
    }
}
