//! The Run that the demo launches.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;

#[derive(Deserialize)]
struct Launched {
    id: String,
}

/// Launches the built-in jobs, and with simulated GPUs three more that show where a job can end up. Returns the
/// id of the Run.
pub async fn launch(client: &Client, fake_gpus: Option<&str>) -> anyhow::Result<String> {
    let mut jobs =
        vec![json!({"job": "log_triage"}), json!({"job": "gpu_report"}), json!({"job": "service_map"})];
    if let Some(text) = fake_gpus {
        jobs.extend(placements(text)?);
    }
    let body = json!({"directive": "D4", "run_jobs": jobs, "tags": ["demo"]});
    Ok(client.post::<Launched>("/runs", &body).await?.id)
}

/// One job placed by score, one that no card can hold, one on a card of its choice.
fn placements(fake_gpus: &str) -> anyhow::Result<Vec<Value>> {
    let (count, mib) =
        fake_gpus.split_once('x').context("simulated GPUs are written COUNTxMIB, e.g. 2x24576")?;
    let (count, mib): (u32, u32) = (count.parse()?, mib.parse()?);
    Ok(vec![
        json!({"job": "gpu_report", "name": "placed by score",
            "gpu": {"policy": "prefer", "count": 1, "min_vram_mib": mib / 4}}),
        json!({"job": "gpu_report", "name": "too large for any card",
            "gpu": {"policy": "prefer", "count": 1, "min_vram_mib": mib + 3072}}),
        json!({"job": "gpu_report", "name": "explicit card",
            "gpu": {"policy": "require", "count": 1, "min_vram_mib": mib / 4, "index": count.saturating_sub(1)}}),
    ])
}
