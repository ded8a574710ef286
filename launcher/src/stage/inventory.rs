//! Stages the containers of this host as the engine has them now: all, or those on the allowlist, as the job asks for.

use chrono::Utc;
use cyberbrain_common::db::{self, staging as rows, supervision::Assignment};
use cyberbrain_core::staging::{INVENTORY_FILE, Inventory, MapScope, ServiceMapParams};

use super::{Error, put_json};
use crate::{agent::Agent, layout::AttemptDir};

pub(super) async fn stage(agent: &Agent, job: &Assignment, dir: &AttemptDir) -> Result<(), Error> {
    // A scope that is none is refused by the job, which can say so in its words; it is given the least here.
    let params: ServiceMapParams = serde_json::from_value(job.params.clone()).unwrap_or_default();
    let inventory = Inventory {
        taken_at: Utc::now(),
        host: agent.host_name.clone(),
        scope: params.scope,
        not_shown: 0,
        containers: agent.runtime.inventory().await?,
    };
    let inventory = match params.scope {
        MapScope::All => inventory,
        MapScope::Allowlist => {
            let mut connection = agent.pool.acquire().await.map_err(db::Error::from)?;
            let allowed = rows::allowed_containers(&mut connection, agent.host).await?;
            inventory.narrowed(|container| {
                allowed.iter().any(|entry| entry.covers(&container.id, &container.name))
            })
        }
    };
    put_json(&dir.input().join(INVENTORY_FILE), &inventory).await
}
