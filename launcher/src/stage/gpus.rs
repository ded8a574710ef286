//! Stages what was observed of GPUs and who held them, over the window that the job asks for.
//!
//! All GPUs of all hosts: the job is one for the installation.

use cyberbrain_common::db::{self, gpu_history, supervision::Assignment};
use cyberbrain_core::staging::{GPU_FILE, GpuReportParams, GpuWindow, Window};

use super::{Error, put_json};
use crate::{agent::Agent, layout::AttemptDir};

pub(super) async fn stage(agent: &Agent, job: &Assignment, dir: &AttemptDir) -> Result<Window, Error> {
    // A window that is none is refused by the job, which can say so in its words.
    let params: GpuReportParams = serde_json::from_value(job.params.clone()).unwrap_or_default();
    let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
    let window = db::staging::window_until_now(&mut connection, params.window_hours.length()).await?;
    let gpus = gpu_history::read(&mut connection, window).await?;
    put_json(&dir.input().join(GPU_FILE), &GpuWindow { window, gpus }).await?;
    Ok(window)
}
