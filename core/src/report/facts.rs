//! What a report is made of, as it was read from the rows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::headline::Headline;
use crate::{
    ids::{ArtifactId, GpuUuid, RunId, RunJobId},
    lifecycle::{FailureKind, RunJobStatus, RunProgress},
    spec::DirectiveType,
};

/// Most RunJobs that a report lists. Those that did not succeed come first, so that none of them is left out
/// for one that did.
pub const MAX_LISTED_JOBS: usize = 500;

/// Most lines of the table of tokens.
pub const MAX_USAGE_LINES: usize = 100;
/// Most artifacts that a report lists of one RunJob.
pub const MAX_LISTED_ARTIFACTS: usize = 20;

/// A finished Run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    pub run: RunId,
    pub directive: DirectiveLine,
    pub requested_by: String,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    /// When the first of its RunJobs got a place.
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: DateTime<Utc>,
    /// Of all its RunJobs, the listed ones and the others.
    pub progress: RunProgress,
    /// Of all its RunJobs.
    pub tokens: Tokens,
    /// Its calls to language models, those with the most tokens first.
    pub usage: Vec<UsageLine>,
    pub usage_left_out: u64,
    /// In the order in which they are to be shown.
    pub jobs: Vec<JobFacts>,
}

/// The directive that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectiveLine {
    pub directive_type: DirectiveType,
    pub name: String,
    pub version: u32,
}

/// Tokens that language models counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    pub prompt: u64,
    pub completion: u64,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// The calls of one job to one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// Key of the job template.
    pub job: String,
    pub model: String,
    pub calls: u64,
    /// Calls whose counts are ours, because the endpoint gave none.
    pub estimated_calls: u64,
    pub prompt: u64,
    pub completion: u64,
    pub total: u64,
}

/// A file that a RunJob left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactLine {
    pub id: ArtifactId,
    /// `log`, `report`, `data` or `other`.
    pub kind: String,
    /// The last part of its path.
    pub name: String,
    pub size_bytes: u64,
}

/// A finished RunJob.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    pub id: RunJobId,
    pub ordinal: u32,
    /// Key of the job template.
    pub job: String,
    pub name: String,
    pub status: RunJobStatus,
    /// Where it ran last.
    pub host: Option<String>,
    pub place: Option<Place>,
    /// Why there.
    pub selection_reason: Option<String>,
    pub attempts: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// What came out, if it left a result.
    pub headline: Option<Headline>,
    pub failure: Option<FailureKind>,
    /// One sentence of ours.
    pub failure_detail: Option<String>,
    pub tokens: Tokens,
    pub artifacts: Vec<ArtifactLine>,
    pub artifacts_left_out: u64,
}

/// What its last attempt had of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Place {
    Gpu {
        gpus: Vec<GpuShare>,
    },
    Cpu,
    /// A GPU was wanted.
    CpuFallback,
}

/// A reservation on one card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuShare {
    pub uuid: GpuUuid,
    pub reserved_mib: u32,
}
