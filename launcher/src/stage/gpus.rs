//! Stages what was observed of GPUs and who held them, over the window that the job asks for.
//!
//! All GPUs of all hosts: the job is one for the installation.

use chrono::TimeDelta;
use cyberbrain_common::db::{self, gpu_history, supervision::Assignment};
use cyberbrain_core::staging::{GPU_FILE, GpuWindow, Window};

use super::{Error, put_json};
use crate::{agent::Agent, layout::AttemptDir};

/// How far back samples are staged unless the job's parameter `window_hours` says otherwise.
const WINDOW_HOURS: f64 = 24.0;
const WINDOW_HOURS_MAX: f64 = 24.0 * 31.0;

pub(super) async fn stage(agent: &Agent, job: &Assignment, dir: &AttemptDir) -> Result<Window, Error> {
    let hours = job.params.get("window_hours").and_then(serde_json::Value::as_f64).unwrap_or(WINDOW_HOURS);
    let hours = if hours.is_finite() && hours > 0.0 { hours.min(WINDOW_HOURS_MAX) } else { WINDOW_HOURS };
    let length = TimeDelta::milliseconds((hours * 3_600_000.0) as i64);
    let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
    let window = db::staging::window_until_now(&mut connection, length).await?;
    let gpus = gpu_history::read(&mut connection, window).await?;
    put_json(&dir.input().join(GPU_FILE), &GpuWindow { window, gpus }).await?;
    Ok(window)
}
