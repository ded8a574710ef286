//! `build`: from facts to document.

use chrono::{DateTime, Utc};

use super::{
    document::{Artifact, Ending, Failure, Job, JobCounts, JobLinks, RunLinks, RunReport},
    facts::{JobFacts, RunFacts},
};
use crate::lifecycle::{RunProgress, RunStatus, run_status};

/// Makes the report of a finished Run; `None` while one of its RunJobs is open.
#[must_use]
pub fn build(facts: RunFacts) -> Option<RunReport> {
    let status = run_status(facts.progress)?;
    let ending = ending(status, facts.progress);
    let counts = JobCounts {
        success: facts.progress.success,
        failed: facts.progress.failed,
        cancelled: facts.progress.cancelled,
    };
    let all = counts.success + counts.failed + counts.cancelled;
    let jobs: Vec<Job> = facts.jobs.into_iter().map(job).collect();
    Some(RunReport {
        title: format!("{}: {}", facts.directive.name, sentence(ending, counts)),
        run_id: facts.run,
        status,
        ending,
        directive: facts.directive,
        requested_by: facts.requested_by,
        tags: facts.tags,
        created_at: facts.created_at,
        started_at: facts.started_at,
        finished_at: facts.finished_at,
        waited_ms: facts.started_at.map(|started| between_ms(facts.created_at, started)),
        ran_ms: facts.started_at.map(|started| between_ms(started, facts.finished_at)),
        counts,
        tokens: facts.tokens,
        usage: facts.usage,
        usage_left_out: facts.usage_left_out,
        links: RunLinks {
            run: format!("/api/v1/runs/{}", facts.run),
            artifacts: format!("/api/v1/runs/{}/artifacts", facts.run),
        },
        jobs_left_out: all.saturating_sub(u64::try_from(jobs.len()).unwrap_or(u64::MAX)),
        jobs,
    })
}

const fn ending(status: RunStatus, progress: RunProgress) -> Ending {
    match status {
        RunStatus::Failed if progress.success > 0 => Ending::PartlyFailed,
        RunStatus::Failed => Ending::Failed,
        RunStatus::Cancelled if progress.success > 0 => Ending::PartlyCancelled,
        RunStatus::Cancelled => Ending::Cancelled,
        RunStatus::Success | RunStatus::Pending | RunStatus::Running => Ending::Success,
    }
}

fn sentence(ending: Ending, counts: JobCounts) -> String {
    let JobCounts { success, failed, cancelled } = counts;
    let all = success + failed + cancelled;
    match ending {
        Ending::Success if all == 1 => "succeeded".to_owned(),
        Ending::Success => format!("all {all} jobs succeeded"),
        Ending::PartlyFailed => format!("{failed} of {all} jobs failed"),
        Ending::Failed if all == 1 => "failed".to_owned(),
        Ending::Failed if failed == all => format!("all {all} jobs failed"),
        Ending::Failed => format!("{failed} of {all} jobs failed, {cancelled} were cancelled"),
        Ending::PartlyCancelled => format!("cancelled after {success} of {all} jobs"),
        Ending::Cancelled => "cancelled".to_owned(),
    }
}

fn job(facts: JobFacts) -> Job {
    let ran_ms = facts.started_at.zip(facts.finished_at).map(|(from, to)| between_ms(from, to));
    Job {
        id: facts.id,
        ordinal: facts.ordinal,
        job: facts.job,
        name: facts.name,
        status: facts.status,
        host: facts.host,
        place: facts.place,
        selection_reason: facts.selection_reason,
        attempts: facts.attempts,
        started_at: facts.started_at,
        finished_at: facts.finished_at,
        ran_ms,
        headline: facts.headline,
        failure: facts.failure.map(|reason| Failure { reason, detail: facts.failure_detail }),
        tokens: facts.tokens,
        links: JobLinks {
            run_job: format!("/api/v1/run-jobs/{}", facts.id),
            logs: facts.started_at.map(|_| format!("/api/v1/run-jobs/{}/logs", facts.id)),
        },
        artifacts: facts
            .artifacts
            .into_iter()
            .map(|file| Artifact { content: format!("/api/v1/artifacts/{}/content", file.id), file })
            .collect(),
        artifacts_left_out: facts.artifacts_left_out,
    }
}

/// Never negative, also if a clock was set back in between.
fn between_ms(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}
