//! What came out of the demo's Run: for people the report, for programs one JSON object.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{client::Client, exit::Ending, up::cluster::Cluster};

/// The Run's outcome in one object.
#[derive(Debug, Serialize)]
pub struct Results {
    run_id: String,
    status: String,
    audit_rows: usize,
    run_jobs: Vec<JobResult>,
    #[serde(skip)]
    report: String,
    #[serde(skip)]
    artifacts: Vec<Artifact>,
}

#[derive(Debug, Serialize)]
struct JobResult {
    job: String,
    name: String,
    status: String,
    host: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    container_id: Option<String>,
    attempts: u32,
    audit_rows: usize,
    tokens: Value,
}

#[derive(Deserialize)]
struct Run {
    status: String,
    run_jobs: Vec<RunJob>,
}

#[derive(Deserialize)]
struct RunJob {
    id: String,
    job: String,
    name: String,
    status: String,
    host: Option<String>,
    gpus: Vec<String>,
    selection_reason: Option<String>,
    tokens: Value,
}

#[derive(Deserialize)]
struct Detail {
    attempts: Vec<Attempt>,
    audit: Vec<Value>,
}

#[derive(Deserialize)]
struct Attempt {
    container_id: Option<String>,
}

#[derive(Deserialize)]
struct Artifacts {
    artifacts: Vec<Artifact>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    path: String,
    size_bytes: u64,
}

impl Results {
    /// Reads everything about a finished Run.
    pub async fn fetch(client: &Client, id: &str) -> anyhow::Result<Self> {
        let run: Run = client.get(&format!("/runs/{id}")).await?;
        let mut run_jobs = Vec::with_capacity(run.run_jobs.len());
        for job in run.run_jobs {
            let detail: Detail = client.get(&format!("/run-jobs/{}", job.id)).await?;
            run_jobs.push(JobResult {
                container_id: detail.attempts.iter().rev().find_map(|attempt| attempt.container_id.clone()),
                attempts: u32::try_from(detail.attempts.len()).context("attempts are few")?,
                audit_rows: detail.audit.len(),
                job: job.job,
                name: job.name,
                status: job.status,
                host: job.host,
                gpus: job.gpus,
                selection_reason: job.selection_reason,
                tokens: job.tokens,
            });
        }
        let report = client.get_text(&format!("/runs/{id}/report"), "text/markdown").await?;
        let artifacts: Artifacts = client.get(&format!("/runs/{id}/artifacts")).await?;
        Ok(Self {
            run_id: id.to_owned(),
            status: run.status,
            audit_rows: run_jobs.iter().map(|job| job.audit_rows).sum(),
            run_jobs,
            report,
            artifacts: artifacts.artifacts,
        })
    }

    /// Prints report, artifacts and addresses.
    pub fn print(&self, cluster: &Cluster) {
        println!("{}", self.report);
        println!("Artifacts");
        for artifact in &self.artifacts {
            println!("  {:>10} B  {}", artifact.size_bytes, artifact.path);
        }
        println!();
        cluster.summary().print();
    }

    /// Whether the Run succeeded.
    pub fn ending(&self) -> Ending {
        if self.status == "success" { Ending::Success } else { Ending::Negative }
    }
}
