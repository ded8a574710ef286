//! What a RunJob asks for: the snapshot of its job template, taken at launch and never changed afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    grant::{CacheRef, PullPolicy, SecretRef},
    ids::GpuUuid,
    outcome::OutputSchema,
    text_enum,
};

text_enum! {
    /// The kind of a directive.
    DirectiveType("directive type") {
        /// Log triage.
        D1 = "D1",
        /// GPU report.
        D2 = "D2",
        /// Service map.
        D3 = "D3",
        /// Custom.
        D4 = "D4",
    }
}

text_enum! {
    /// What to do when no GPU fits now.
    GpuPolicy("GPU policy") {
        /// Wait for a GPU, however long the queue deadline allows.
        Require = "require",
        /// Wait for `prefer_wait_seconds`, then run on the CPU.
        Prefer = "prefer",
        /// Never use a GPU.
        None = "none",
    }
}

text_enum! {
    /// What to do when an explicitly named GPU does not fit.
    OnMiss("explicit GPU rule") {
        /// Choose another place automatically, and say so.
        Auto = "auto",
        /// Refuse the RunJob.
        Refuse = "refuse",
    }
}

text_enum! {
    /// The network that a worker's container gets.
    Network("worker network") {
        /// The engine's bridge: reaches the LAN and the LLM gateway.
        Bridge = "bridge",
        /// Loopback only.
        None = "none",
    }
}

text_enum! {
    /// How many RunJobs one requested job becomes.
    JobScope("job scope") {
        /// One, wherever it fits.
        One = "one",
        /// One per known host, pinned to it.
        PerHost = "per_host",
    }
}

text_enum! {
    /// What happens to an attempt whose host is out of contact for too long.
    OnHostLost("host-lost rule") {
        /// A new attempt elsewhere, if the host's guard is known to have stopped the old one.
        Replace = "replace",
        /// No new attempt until the host returns or is forgotten.
        Wait = "wait",
    }
}

/// A worker image by allowlist name: `name:tag`. The pin (image ID or digest) is the allowlist's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ImageRef {
    /// Repository name without the tag.
    pub name: String,
    /// Tag.
    pub tag: String,
}

impl ImageRef {
    /// The image made from the running executable; every launcher makes and loads it itself.
    #[must_use]
    pub fn builtin() -> Self {
        Self { name: "cyberbrain-worker".into(), tag: "builtin".into() }
    }
}

/// A text that names no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidImage;

impl std::fmt::Display for InvalidImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is no image with its tag, like registry.local/team/worker:1.4; a digest goes into the allowlist")
    }
}

impl std::error::Error for InvalidImage {}

impl ImageRef {
    /// A name of up to 255 and a tag of up to 100 characters, as engines take them.
    ///
    /// # Errors
    /// When one of them is not of that form.
    pub fn new(name: &str, tag: &str) -> Result<Self, InvalidImage> {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let part = |part: &str| {
            part.starts_with(lower)
                && part.ends_with(lower)
                && part.chars().all(|c| lower(c) || "._-:".contains(c))
        };
        let name_fits = name.len() <= 255 && name.split('/').all(part);
        let in_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let tag_fits =
            (1..=100).contains(&tag.len()) && tag.chars().all(in_tag) && !tag.starts_with(['.', '-']);
        if name_fits && tag_fits {
            Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
        } else {
            Err(InvalidImage)
        }
    }
}

impl std::str::FromStr for ImageRef {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let (name, tag) = text.rsplit_once(':').ok_or(InvalidImage)?;
        // `host:5000/name` has a port and no tag: a tag has no slash, so this is refused.
        Self::new(name, tag)
    }
}

impl std::fmt::Display for ImageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// CPU and memory that a worker may use; enforced by the engine and booked on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_millis: u32,
    /// Memory limit; swap is not given on top.
    pub memory_mib: u32,
    /// Size of `/dev/shm`.
    pub shm_mib: u32,
    /// Largest number of processes and threads.
    pub pids: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu_millis: 500, memory_mib: 512, shm_mib: 64, pids: 512 }
    }
}

/// Which GPU is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum GpuChoice {
    /// The best one by score.
    Any,
    /// This card.
    Uuid { uuid: GpuUuid, on_miss: OnMiss },
    /// The card with this index on the host of this name; without a host, on any host.
    Index { index: u32, host: Option<String>, on_miss: OnMiss },
}

/// What a RunJob asks of GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GpuRequest {
    pub policy: GpuPolicy,
    /// Number of cards, all on one host. At least 1 unless the policy is `none`.
    pub count: u32,
    /// Memory reserved on each card; unstated means the whole card.
    pub min_vram_mib: Option<u32>,
    pub choice: GpuChoice,
    /// How long `prefer` waits before it takes a CPU place.
    pub prefer_wait_seconds: u32,
}

impl GpuRequest {
    /// No GPU wanted.
    #[must_use]
    pub fn none() -> Self {
        Self {
            policy: GpuPolicy::None,
            count: 0,
            min_vram_mib: None,
            choice: GpuChoice::Any,
            prefer_wait_seconds: 0,
        }
    }
}

/// How often and how fast a failed RunJob is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RetryPolicy {
    /// Attempts that the job itself may fail; 1 means no retry after a failure of its own.
    pub max_attempts: u32,
    /// Infrastructure failures that are forgiven on top of those.
    pub max_infra_failures: u32,
    /// First pause; doubles each time, capped at five minutes.
    pub backoff_seconds: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 1, max_infra_failures: 5, backoff_seconds: 5 }
    }
}

/// Time limits of one RunJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Timeouts {
    /// Longest wait for a place; then the RunJob fails with `timeout_queue`.
    pub queue_seconds: u32,
    /// Longest run of the container; then it is stopped with `timeout_run`.
    pub run_seconds: u32,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace_seconds: u32,
    /// Silence of a host after which its attempts are replaced.
    pub host_lost_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { queue_seconds: 86_400, run_seconds: 3_600, stop_grace_seconds: 10, host_lost_seconds: 300 }
    }
}

/// Everything a launcher needs to run one RunJob, frozen at launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Key of the job template, e.g. `log_triage`.
    pub task_key: String,
    pub image: ImageRef,
    /// Arguments; empty means the image's own command.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub resources: Resources,
    pub gpu: GpuRequest,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    pub network: Network,
    pub on_host_lost: OnHostLost,
    /// Name of the only host that may run it, if it is pinned to one.
    pub host: Option<String>,
    /// What its result may hold, if it says so; for jobs that are not built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSchema>,
    /// Secrets of its host that it may read, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// Model caches of its host, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<CacheRef>,
    #[serde(default, skip_serializing_if = "PullPolicy::is_default")]
    pub pull: PullPolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_name_with_a_tag() {
        for text in
            ["a:1", "cyberbrain-worker:builtin", "registry.local:5000/team/worker:v1.4_x", "a/b/c:Latest"]
        {
            assert_eq!(text.parse::<ImageRef>().map(|image| image.to_string()).as_deref(), Ok(text));
        }
        let long = format!("a:{}", "x".repeat(101));
        for text in [
            "",
            "a",
            "a:",
            ":1",
            "host:5000/a",
            "A:1",
            "a//b:1",
            "/a:1",
            "a b:1",
            "a@sha256:00",
            "a:.x",
            "../a:1",
            "a:1\0",
            long.as_str(),
        ] {
            assert_eq!(text.parse::<ImageRef>(), Err(InvalidImage), "{text}");
        }
    }
}
