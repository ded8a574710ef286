//! What a client says of a job template. Unknown fields are refused while reading.

use std::collections::BTreeMap;

use cyberbrain_core::{
    grant::PullPolicy,
    outcome::OutputSchema,
    spec::{DirectiveType, JobScope, Network, OnHostLost},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    launch::{
        GpuWish,
        describe::{
            free_text, job_key, job_keys, line, optional_free_text, optional_job_keys, optional_line,
        },
        limit as launch_limit,
        object::object_only,
    },
    library::check::limit,
};

/// A job template to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NewJob {
    /// What a launch calls it, for good: its key.
    #[schema(schema_with = job_key)]
    pub job: String,
    /// Other names for launches. No two jobs share a key or an alias.
    #[serde(default)]
    #[schema(schema_with = job_keys)]
    pub aliases: Vec<String>,
    /// Shown to people.
    #[schema(schema_with = line::<{ launch_limit::NAME_CHARACTERS }>)]
    pub name: String,
    #[serde(default)]
    #[schema(schema_with = free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: String,
    /// `per_host`: one RunJob becomes one on each host. `one` without it.
    #[serde(default = "one")]
    pub scope: JobScope,
    /// What a launch runs under that names no directive; `D4` without it.
    #[serde(default = "custom")]
    pub default_directive: DirectiveType,
    /// `image` must be there.
    pub spec: JobSettings,
}

const fn one() -> JobScope {
    JobScope::One
}

const fn custom() -> DirectiveType {
    DirectiveType::D4
}

/// A change of a job template. What is left out or null stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct JobChange {
    /// Takes the place of all aliases.
    #[serde(default)]
    #[schema(schema_with = optional_job_keys)]
    pub aliases: Option<Vec<String>>,
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ launch_limit::NAME_CHARACTERS }>)]
    pub name: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: Option<String>,
    #[serde(default)]
    pub scope: Option<JobScope>,
    #[serde(default)]
    pub default_directive: Option<DirectiveType>,
    #[serde(default)]
    pub spec: Option<JobSettings>,
    /// Whether launches may name it.
    #[serde(default)]
    pub active: Option<bool>,
}

/// How a job's worker runs. What is left out or null stays as it is, or is the default of a new job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct JobSettings {
    /// `name:tag`. It is stored whether or not it is on the worker image allowlist; a launch is refused while it is not.
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ limit::IMAGE_CHARACTERS }>)]
    pub image: Option<String>,
    /// Arguments; empty means the image's own command.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub command: Option<Vec<String>>,
    /// Environment variables by name; null takes one away, those that are not named stay. Values are never shown.
    #[serde(default)]
    pub env: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub resources: Option<ResourceSettings>,
    /// Takes the place of the whole request; what is left out in it is not asked for.
    #[serde(default)]
    pub gpu: Option<GpuWish>,
    #[serde(default)]
    pub timeouts: Option<TimeoutSettings>,
    #[serde(default)]
    pub retry: Option<RetrySettings>,
    /// `bridge` for a new job.
    #[serde(default)]
    pub network: Option<Network>,
    /// `replace` for a new job.
    #[serde(default)]
    pub on_host_lost: Option<OnHostLost>,
    /// Name of the only host that may run it; null means any.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = optional_line::<{ limit::HOST_CHARACTERS }>)]
    pub host: Option<Option<String>>,
    /// What the job's result may hold: named values. Takes the place of the whole schema; null means anything. A result that
    /// does not keep to it is a failure. Not for built-in jobs.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<OutputSchema>)]
    pub output: Option<Option<OutputSchema>>,
    /// Secrets that its worker may read, each a file in `/run/secrets`. Takes the place of the whole list.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub secrets: Option<Vec<SecretWish>>,
    /// Model caches, read-only. Takes the place of the whole list.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub caches: Option<Vec<CacheWish>>,
    /// Whether the registry is asked for the image; `missing` for a new job.
    #[serde(default)]
    pub pull: Option<PullPolicy>,
}

/// A secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct SecretWish {
    /// Name of a file in the secrets directory of the host that runs it.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// Environment variable that is told the path of the file.
    #[serde(default)]
    #[schema(max_length = 64, pattern = "^[A-Za-z_][A-Za-z0-9_]*$")]
    pub path_variable: Option<String>,
}

/// A model cache by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CacheWish {
    /// As the launchers of the host name it.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// Absolute path inside the container, not below a directory of the system.
    #[schema(max_length = 255, pattern = "^/")]
    pub target: String,
}

/// CPU and memory that a worker may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ResourceSettings {
    /// Thousandths of a CPU.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_024_000)]
    pub cpu_millis: Option<u32>,
    #[serde(default)]
    #[schema(minimum = 16, maximum = 16_777_216)]
    pub memory_mib: Option<u32>,
    /// Size of `/dev/shm`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_048_576)]
    pub shm_mib: Option<u32>,
    /// Largest number of processes and threads.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 4_194_304)]
    pub pids: Option<u32>,
}

/// Time limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TimeoutSettings {
    /// Longest wait for a place.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub queue_seconds: Option<u32>,
    /// Longest run of the container.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    pub run_seconds: Option<u32>,
    /// Between SIGTERM and SIGKILL.
    #[serde(default)]
    #[schema(maximum = 600)]
    pub stop_grace_seconds: Option<u32>,
    /// Silence of a host after which its attempts are replaced: at least 30 more than `stop_grace_seconds`.
    #[serde(default)]
    #[schema(minimum = 30, maximum = 604_800)]
    pub host_lost_seconds: Option<u32>,
}

/// How often and how fast a failed RunJob is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RetrySettings {
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub max_attempts: Option<u32>,
    /// Failures of the infrastructure that are forgiven on top.
    #[serde(default)]
    #[schema(maximum = 100)]
    pub max_infra_failures: Option<u32>,
    /// First pause; doubles each time.
    #[serde(default)]
    #[schema(maximum = 300)]
    pub backoff_seconds: Option<u32>,
}

object_only!(
    NewJob,
    JobChange,
    JobSettings,
    SecretWish,
    CacheWish,
    ResourceSettings,
    TimeoutSettings,
    RetrySettings
);

/// Tells null from nothing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}
