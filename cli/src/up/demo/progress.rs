//! Shows how a Run comes along: one line per change, with the worker's own figures.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;

use crate::{client::Client, notice::say};

/// How often the Run is looked at.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Deserialize)]
struct Run {
    status: String,
    finished_at: Option<String>,
    run_jobs: Vec<RunJob>,
}

#[derive(Debug, Deserialize)]
struct RunJob {
    id: String,
    name: String,
    status: String,
    host: Option<String>,
    waiting_reason: Option<String>,
    progress: Option<Progress>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    percent: Option<f64>,
    stage: String,
    done: u64,
    total: Option<u64>,
    unit: String,
}

/// Follows the Run until it has finished. Cancel-safe.
pub async fn follow(client: &Client, run: &str) -> anyhow::Result<()> {
    let mut said: HashMap<String, String> = HashMap::new();
    loop {
        let now: Run = client.get(&format!("/runs/{run}")).await?;
        for job in &now.run_jobs {
            let line = job.line();
            if said.get(&job.id) != Some(&line) {
                say(&line);
                said.insert(job.id.clone(), line);
            }
        }
        if now.finished_at.is_some() {
            say(format_args!("the run has finished: {}", now.status));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl RunJob {
    fn line(&self) -> String {
        let mut line = format!("{:24} {:9}", self.name, self.status);
        if let Some(host) = &self.host {
            line.push_str(&format!(" on {host}"));
        }
        if let Some(reason) = self.waiting_reason.as_ref().filter(|_| self.status == "pending") {
            line.push_str(&format!(" ({reason})"));
        }
        if let Some(progress) = self.progress.as_ref().filter(|_| self.status != "pending") {
            line.push_str(&format!("  {}", progress.text()));
        }
        line
    }
}

impl Progress {
    fn text(&self) -> String {
        let percent = self.percent.map(|percent| format!("{percent:3.0} % ")).unwrap_or_default();
        let total = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
        format!("{percent}{}: {}{total} {}", self.stage, self.done, self.unit)
    }
}
