//! Snapshots of all containers of a host. Never environment values.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    ids::{HostId, RunId},
    staging::InventoryContainer,
    text_enum,
};
use serde_json::Value;
use uuid::Uuid;

use super::{Conn, Error, runs::After};
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
    let containers: Vec<InventoryContainer> = containers.iter().map(InventoryContainer::bounded).collect();
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

text_enum! {
    /// Which containers of the inventory are wanted.
    InventoryScope("inventory scope") {
        /// All that launchers have seen.
        All = "all",
        /// Those whose logs may be read.
        Allowlist = "allowlist",
    }
}

/// A container as it was at one moment.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: Uuid,
    /// Name of its host.
    pub host: String,
    pub taken_at: DateTime<Utc>,
    /// The Run that the snapshot was made for, if it was.
    pub run: Option<RunId>,
    pub container: InventoryContainer,
    /// Whether this is of the newest snapshot of its host.
    pub current: bool,
    /// Whether the container allowlist covers it now.
    pub allowlisted: bool,
}

struct Row {
    id: Uuid,
    host: String,
    taken_at: DateTime<Utc>,
    run_id: Option<Uuid>,
    snapshot: Value,
    current: bool,
    allowlisted: bool,
}

impl TryFrom<Row> for Seen {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let container = serde_json::from_value(row.snapshot)
            .map_err(|source| Error::Malformed { what: "snapshot of a container", source })?;
        Ok(Self {
            id: row.id,
            host: row.host,
            taken_at: row.taken_at,
            run: row.run_id.map(Into::into),
            container,
            current: row.current,
            allowlisted: row.allowlisted,
        })
    }
}

/// Which containers to list. What is not set does not filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryFilter<'a> {
    pub scope: InventoryScope,
    pub host: Option<&'a str>,
}

/// The newest snapshot of up to `limit` containers by id, from the one after `after` on; also of those that are gone. A
/// container is covered by the rule of `staging::AllowedContainer::covers`.
///
/// # Errors
/// When the database can't be read, or a snapshot in it.
pub async fn latest(
    connection: &mut Conn,
    filter: InventoryFilter<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Seen>, Error> {
    // Walks from id to id by the index: there are thousands of snapshots of each container. The newest look at a host is
    // asked for as the first row from the host on, which only the index on host and time can answer: a host that has
    // been silent for days must not make us read what all the others saw since.
    let rows = sqlx::query_as!(
        Row,
        r#"with recursive walk as (
             (select container_id from container_inventory where container_id > coalesce($1::text, '')
              order by container_id limit 1)
             union all
             select (select i.container_id from container_inventory i where i.container_id > w.container_id
                     order by i.container_id limit 1)
             from walk w where w.container_id is not null)
           select n.id as "id!", h.name as "host!", n.taken_at as "taken_at!", n.run_id, n.snapshot as "snapshot!",
             n.taken_at = (
               select l.taken_at from container_inventory l where l.host_id >= n.host_id
               order by l.host_id, l.taken_at desc limit 1) as "current!",
             c.covered as "allowlisted!"
           from walk w
           cross join lateral (
             select i.* from container_inventory i where i.container_id = w.container_id
             order by i.taken_at desc, i.id desc limit 1) n
           join hosts h on h.id = n.host_id
           cross join lateral (
             select exists (select 1 from container_allowlist a
               where a.enabled and a.host in ('*', h.name)
                 and (a.container_id in (n.container_id, n.container_name)
                   or (length(a.container_id) >= 12 and starts_with(n.container_id, a.container_id))
                   or (a.container_name <> '' and a.container_name = n.container_name))) as covered) c
           where ($2::text is null or h.name = $2) and ($3 = 'all' or c.covered)
           order by w.container_id limit $4"#,
        after,
        filter.host,
        filter.scope.as_str(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Up to `limit` snapshots of the container with this id or name, newest first, from the one after `after` on.
///
/// # Errors
/// When the database can't be read, or a snapshot in it.
pub async fn history(
    connection: &mut Conn,
    container: &str,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Seen>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select n.id, h.name as host, n.taken_at, n.run_id, n.snapshot,
             n.taken_at = (
               select l.taken_at from container_inventory l where l.host_id >= n.host_id
               order by l.host_id, l.taken_at desc limit 1) as "current!",
             exists (select 1 from container_allowlist a
               where a.enabled and a.host in ('*', h.name)
                 and (a.container_id in (n.container_id, n.container_name)
                   or (length(a.container_id) >= 12 and starts_with(n.container_id, a.container_id))
                   or (a.container_name <> '' and a.container_name = n.container_name))) as "allowlisted!"
           from container_inventory n join hosts h on h.id = n.host_id
           where (n.container_id = $1 or n.container_name = $1)
             and ($2::timestamptz is null or (n.taken_at, n.id) < ($2, $3))
           order by n.taken_at desc, n.id desc limit $4"#,
        container,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
