//! Stages the containers of this host as the engine has them now.

use chrono::Utc;
use cyberbrain_core::staging::{INVENTORY_FILE, Inventory};

use super::{Error, put_json};
use crate::{agent::Agent, layout::AttemptDir};

pub(super) async fn stage(agent: &Agent, dir: &AttemptDir) -> Result<(), Error> {
    let containers = agent.runtime.inventory().await?;
    let inventory = Inventory { taken_at: Utc::now(), host: agent.host_name.clone(), containers };
    put_json(&dir.input().join(INVENTORY_FILE), &inventory).await
}
