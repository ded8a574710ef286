//! What a worker leaves behind, in `/logs` and on stdout, and the limits it has to keep.
//!
//! ```text
//! /logs/result.json   JobResult: typed, closed, small; the only part that reaches the database
//! /logs/report.md     Markdown for people
//! /logs/<any other>   an artifact, kept as it is
//! stdout              one JSON object per line; `{"cyberbrain":{"progress":{…}}}` is progress, all else is log
//! ```
//!
//! A result holds numbers, names and closed kinds, never prose: whatever a model or a log line said can
//! only be in the report and the artifacts, which stay on disk. [`validate`] is what holds that up; whoever
//! reads a `result.json` calls it before storing anything. Parsing JSON is done at the edges, and so is
//! the check of the file's size against [`MAX_RESULT_BYTES`] before it is parsed.

mod cause;
mod custom;
mod gpu_report;
mod log_triage;
mod problem;
mod progress;
mod rising;
mod schema;
mod service_map;
mod text;
mod validate;

use serde::{Deserialize, Serialize};

use crate::job_kind::JobKind;

pub use cause::{AskFailure, Cause, FindingCause, ModelOpinion, ModelUse};
pub use custom::{CustomResult, CustomValue, MAX_CUSTOM_VALUES};
pub use gpu_report::{
    GpuReport, GpuSummary, LeaseOverlap, MAX_GPU_RUN_JOBS, MAX_GPUS, MAX_OVERLAPS, MemorySpread, Throttled,
    UtilizationSpread,
};
pub use log_triage::{
    Finding, FindingKind, LogTriage, MAX_FINDINGS, MAX_SOURCES, MAX_STACK_TRACES, MAX_TEMPLATES, Novelty,
    Severity, SeverityCounts, SourceSummary, StackTraceCount, TemplateCount, TraceLanguage,
};
pub use problem::Problem;
pub use progress::{MAX_PROGRESS_LINE_BYTES, Progress, ProgressUnit, StdoutMessage, StdoutRecord};
pub use rising::is_rising;
pub use schema::{OutputSchema, ValueRule};
pub use service_map::{
    ChangeKind, EdgeKind, MAX_CHANGES, MAX_EDGES, MAX_SERVICES, ServiceChange, ServiceEdge, ServiceMap,
    ServiceSummary,
};
pub use text::{MAX_STAGE_CHARACTERS, MAX_TEXT_CHARACTERS, clean_text, stage_text};
pub use validate::validate;

/// Holds [`JobResult`].
pub const RESULT_FILE: &str = "result.json";
/// Holds the report.
pub const REPORT_FILE: &str = "report.md";
/// A larger `result.json` is refused unread.
pub const MAX_RESULT_BYTES: u64 = 256 * 1024;
/// A larger `report.md` is cut.
pub const MAX_REPORT_BYTES: u64 = 1024 * 1024;

/// `result.json`: what came out of a RunJob, by kind of job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum JobResult {
    LogTriage(LogTriage),
    GpuReport(GpuReport),
    ServiceMap(ServiceMap),
    Custom(CustomResult),
}

impl JobResult {
    /// The kind of job that leaves such a result.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::LogTriage(_) => JobKind::LogTriage,
            Self::GpuReport(_) => JobKind::GpuReport,
            Self::ServiceMap(_) => JobKind::ServiceMap,
            Self::Custom(_) => JobKind::Custom,
        }
    }
}
