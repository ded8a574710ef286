//! The report as typed JSON: what is stored, served and rendered.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    facts::{ArtifactLine, DirectiveLine, Place, Tokens, UsageLine},
    headline::Headline,
};
use crate::{
    ids::{RunId, RunJobId},
    lifecycle::{FailureKind, RunJobStatus, RunStatus},
    text_enum,
};

/// The report of one finished Run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub title: String,
    pub run_id: RunId,
    pub status: RunStatus,
    pub ending: Ending,
    pub directive: DirectiveLine,
    pub requested_by: String,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    /// Absent if none of its RunJobs ever got a place.
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: DateTime<Utc>,
    /// From `created_at` to `started_at`.
    pub waited_ms: Option<u64>,
    /// From `started_at` to `finished_at`.
    pub ran_ms: Option<u64>,
    pub counts: JobCounts,
    pub tokens: Tokens,
    /// Tokens by job and model, as counted when the Run was closed.
    #[serde(default)]
    pub usage: Vec<UsageLine>,
    #[serde(default)]
    pub usage_left_out: u64,
    #[serde(default)]
    pub links: RunLinks,
    pub jobs: Vec<Job>,
    /// RunJobs that are counted above but not listed.
    pub jobs_left_out: u64,
}

/// Paths of the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLinks {
    pub run: String,
    pub artifacts: String,
}

/// Paths of the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLinks {
    pub run_job: String,
    /// Absent if it never ran.
    pub logs: Option<String>,
}

/// A file that a RunJob left, and where it is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    #[serde(flatten)]
    pub file: ArtifactLine,
    /// Path of the API.
    pub content: String,
}

text_enum! {
    /// How a Run ended, finer than its status.
    Ending("ending") {
        Success = "success",
        /// Some RunJobs succeeded, others failed.
        PartlyFailed = "partly_failed",
        Failed = "failed",
        /// Some RunJobs succeeded, others were cancelled.
        PartlyCancelled = "partly_cancelled",
        Cancelled = "cancelled",
    }
}

/// RunJobs by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    pub success: u64,
    pub failed: u64,
    pub cancelled: u64,
}

/// One RunJob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: RunJobId,
    pub ordinal: u32,
    pub job: String,
    pub name: String,
    pub status: RunJobStatus,
    pub host: Option<String>,
    pub place: Option<Place>,
    pub selection_reason: Option<String>,
    pub attempts: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub ran_ms: Option<u64>,
    pub headline: Option<Headline>,
    pub failure: Option<Failure>,
    pub tokens: Tokens,
    #[serde(default)]
    pub links: JobLinks,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub artifacts_left_out: u64,
}

/// Why a RunJob did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub reason: FailureKind,
    /// One sentence of ours.
    pub detail: Option<String>,
}
