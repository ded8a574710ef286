//! `gpu_report`: what the staged samples and leases say of each GPU.
//!
//! Memory and utilization over the window, hot times, who held which card, whether cards stood idle while
//! reserved, what slowed them and which errors they had, and a check of the promise that leases never add up to
//! more than a card has. What no sample tells is called unknown, never zero. Where there is no GPU it says so and succeeds.

mod chart;
mod faults;
mod leases;
mod load;
mod report;
mod statistics;
mod summary;

use cyberbrain_core::{
    outcome::{GpuReport, JobResult, LeaseOverlap, MAX_GPUS, MAX_OVERLAPS, ProgressUnit},
    staging::{GPU_FILE, GpuHistory, GpuOrigin, GpuReportParams, GpuWindow, JOB_FILE, JobInput, Window},
};
use serde::Deserialize as _;

use self::summary::Facts;
use crate::{arguments::Directories, error::Error, files, progress::Progress};

/// What stands for a figure that is not known.
const UNKNOWN: &str = "–";
/// Name of the chart among the artifacts.
const CHART_FILE: &str = "gpu-chart.svg";

/// Runs the job.
pub fn run(directories: &Directories, progress: &mut Progress<'_>) -> Result<(), Error> {
    let job: JobInput<serde_json::Value> = files::read_json(&directories.input, JOB_FILE)?;
    // The launcher has done what they say; a window that is none must not pass for the usual one.
    GpuReportParams::deserialize(&job.params)
        .map_err(|source| Error::Params { path: directories.input.join(JOB_FILE), source })?;
    let GpuWindow { window, mut gpus } = files::read_json(&directories.input, GPU_FILE)?;
    gpus.sort_by(|a, b| (&a.host, a.index, &a.uuid).cmp(&(&b.host, b.index, &b.uuid)));

    let total: u64 = gpus.iter().map(|gpu| gpu.samples.len() as u64).sum();
    let mut done = 0;
    let mut facts = Vec::with_capacity(gpus.len());
    for gpu in &mut gpus {
        progress.tell("reading samples", done, total, ProgressUnit::Items);
        gpu.samples.sort_by_key(|sample| sample.at);
        gpu.xids.sort_by_key(|event| event.at);
        gpu.leases.sort_by_key(|lease| (lease.from, lease.run_job_id));
        facts.push(summary::facts(gpu, window));
        done += gpu.samples.len() as u64;
    }
    progress.tell("reading samples", total, total, ProgressUnit::Items);

    if !gpus.is_empty() {
        files::write_file(directories, CHART_FILE, chart::draw(&gpus, window).as_bytes())?;
    }
    let result = files::fit(JobResult::GpuReport(result(window, &facts)), |result| {
        if let JobResult::GpuReport(report) = result {
            let (gpus, overlaps) = (report.gpus.len() / 2, report.overlaps.len() / 2);
            files::shorten(&mut report.gpus, gpus, &mut report.gpus_left_out);
            files::shorten(&mut report.overlaps, overlaps, &mut report.overlaps_left_out);
        }
    })?;
    files::write_outcome(directories, report::write(window, &gpus, &facts), &result)?;
    progress.tell("done", 1, 1, ProgressUnit::Items);
    Ok(())
}

fn result(window: Window, facts: &[Facts]) -> GpuReport {
    let overlaps: Vec<LeaseOverlap> = facts.iter().flat_map(|facts| facts.overlaps.iter().cloned()).collect();
    GpuReport {
        window,
        gpus: facts.iter().take(MAX_GPUS).map(|facts| facts.summary.clone()).collect(),
        gpus_left_out: facts.len().saturating_sub(MAX_GPUS) as u64,
        overlaps_left_out: overlaps.len().saturating_sub(MAX_OVERLAPS) as u64,
        overlaps: overlaps.into_iter().take(MAX_OVERLAPS).collect(),
    }
}

/// What a GPU is called where people read it: its host and its index.
fn name(gpu: &GpuHistory) -> String {
    format!("{} / GPU {}", gpu.host, gpu.index)
}

/// Said wherever a simulated GPU is named.
const fn simulated(origin: GpuOrigin) -> &'static str {
    match origin {
        GpuOrigin::Real => "",
        GpuOrigin::Simulated => " (simulated)",
    }
}
