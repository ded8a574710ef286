//! The report of a Run: from what is stored about it to Markdown for people and typed JSON for programs.
//!
//! [`build`] is pure: the same facts give the same bytes. Every finished Run has a report, also one that failed,
//! was cancelled or never started. It holds counts, codes, times and names of ours only; what a model or a log
//! line said is in the artifacts. Names that people chose are escaped, so that none can change the document.
//!
//! Read in this order: `facts` (what goes in), `document` (what comes out), `headline` (a result in one
//! sentence), `build`, `markdown`.

mod build;
mod document;
mod facts;
mod headline;
mod markdown;

#[cfg(test)]
mod numbers_test;
#[cfg(test)]
mod read_back;
#[cfg(test)]
mod tests;

pub use build::build;
pub use document::{Artifact, Ending, Failure, Job, JobCounts, JobLinks, RunLinks, RunReport};
pub use facts::{
    ArtifactLine, DirectiveLine, GpuShare, JobFacts, MAX_LISTED_ARTIFACTS, MAX_LISTED_JOBS, MAX_USAGE_LINES,
    Place, RunFacts, Tokens, UsageLine,
};
pub use headline::{Headline, LikelyCause, MAX_HEADLINE_FINDINGS, ModelTold, NamedValue, TopFinding};
pub use markdown::render as markdown;

/// JSON Schema (2020-12) of the report as JSON.
pub const SCHEMA: &str = include_str!("schema.json");
