//! `job.json`: who this worker is and what it was asked to do; and the earlier result it compares with.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{GpuUuid, RunId, RunJobId},
    outcome::JobResult,
    spec::DirectiveType,
};

/// One RunJob as its worker sees it. `P` is the job's own parameter type, parsed where the file is read;
/// the launcher uses whatever holds the stored JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInput<P> {
    pub run_id: RunId,
    pub run_job_id: RunJobId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Key of the job template, e.g. `log_triage`.
    pub task_key: String,
    /// Name of the host that runs it.
    pub host: String,
    pub directive: DirectiveText,
    pub params: P,
    /// What time span the staged data covers; absent if the job reads none.
    pub window: Option<Window>,
    /// The cards that are reserved for it; empty on a CPU place.
    #[serde(default)]
    pub gpus: Vec<AssignedGpu>,
    /// Names of the files under `/uploads` that it asked for.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// How it reaches language models.
    #[serde(default)]
    pub llm: LlmAccess,
}

/// How a worker reaches language models. Its key is in its environment only (`OPENAI_API_KEY`), never in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LlmAccess {
    /// This installation has no endpoints.
    #[default]
    NotConfigured,
    /// It has, but this job's network is `none`.
    NoNetwork,
    /// In the way of OpenAI's API.
    Gateway {
        /// Ends in `/v1`; also in the environment, as `OPENAI_BASE_URL`.
        base_url: String,
        /// Names that may be asked for.
        models: Vec<String>,
    },
}

impl LlmAccess {
    /// The name of the state.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::NoNetwork => "no_network",
            Self::Gateway { .. } => "gateway",
        }
    }
}

/// The directive as it was when the Run was launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectiveText {
    #[serde(rename = "type")]
    pub kind: DirectiveType,
    pub name: String,
    pub text: String,
}

/// A span of time: from `from` inclusive to `to` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// A card that is reserved for this worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedGpu {
    pub uuid: GpuUuid,
    /// The card's index on its host, which is not its index inside the container.
    pub index: u32,
    pub model: String,
    pub total_mib: u32,
    /// Memory that is reserved for this worker.
    pub reserved_mib: u32,
}

/// `previous.json`: the result of the last RunJob of the same key that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousResult {
    pub run_id: RunId,
    pub finished_at: DateTime<Utc>,
    pub result: JobResult,
}
