//! Snapshots of all containers of a host. Never environment values.

use cyberbrain_core::{
    ids::{HostId, RunId},
    staging::InventoryContainer,
};
use uuid::Uuid;

use super::{Conn, Error};
use crate::ids::fresh;

/// Stores one snapshot of a host's containers, made for a Run or by the clock.
///
/// # Errors
/// A database error.
pub async fn record(
    connection: &mut Conn,
    host: HostId,
    run: Option<RunId>,
    containers: &[InventoryContainer],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = containers.iter().map(|_| fresh()).collect();
    let rows = serde_json::to_value(containers).expect("inventories serialize: all keys are text");
    sqlx::query!(
        "insert into container_inventory (id, host_id, container_id, container_name, snapshot, run_id)
         select i.id, $1, c.value ->> 'id', c.value ->> 'name', c.value, $2
         from jsonb_array_elements($3) with ordinality as c(value, n)
         join unnest($4::uuid[]) with ordinality as i(id, n) using (n)",
        host.uuid(),
        run.map(RunId::uuid),
        rows,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}
