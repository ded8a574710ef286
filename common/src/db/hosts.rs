//! Registration of hosts: who an engine is, and that no other engine is taken for it.
//!
//! One transaction registers a host with its launcher, GPUs and images. Guarantees that a name or a GPU belongs to
//! one live engine at a time. Deliberately absent: presence, which the scheduler counts.

use std::collections::BTreeMap;

use cyberbrain_core::ids::HostId;

use super::{Conn, Error};
use crate::ids::fresh;

/// A host as its launcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    pub engine_id: String,
    pub machine_id: String,
    /// Unique label; operators know it by this.
    pub name: String,
    pub boot_id: String,
    /// `docker`, `process` or `simulated`.
    pub runtime: &'static str,
    pub labels: BTreeMap<String, String>,
    pub cpu_millis: u32,
    pub memory_mib: u32,
    pub max_attempts: u32,
}

/// Why a host is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Another engine that is alive has this name.
    #[error(
        "the host name {name} is in use by a live launcher of another engine ({engine_id}); choose another one with CYBERBRAIN_HOST"
    )]
    NameTaken { name: String, engine_id: String },
    /// Another host that is alive, or that still has work on it, has this GPU.
    #[error("the GPU {uuid} belongs to the host {host}, which is alive or still holds memory on it")]
    GpuTaken { uuid: String, host: String },
    #[error("the host can't be registered")]
    Db(#[from] Error),
}

impl From<sqlx::Error> for RegisterError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Inserts the host, or brings its row up to date. A first launcher of a host makes it unreconciled: nothing is
/// placed there until a full reconcile.
///
/// # Errors
/// [`RegisterError`]; roll back then.
pub async fn register(connection: &mut Conn, facts: &HostFacts) -> Result<HostId, RegisterError> {
    // Registrations are rare: one at a time makes the checks below exact.
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('cyberbrain.register_host', 0))::text as "locked""#
    )
    .fetch_one(&mut *connection)
    .await?;
    free_name(connection, facts).await?;
    let labels = serde_json::to_value(&facts.labels).expect("labels serialize: all keys are text");
    let id = sqlx::query_scalar!(
        "insert into hosts as h (id, engine_id, machine_id, name, boot_id, runtime, labels, cpu_millis, memory_mib,
             max_attempts)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (engine_id, machine_id) do update set
             name = excluded.name, boot_id = excluded.boot_id, runtime = excluded.runtime, labels = excluded.labels,
             -- What is booked stays booked, also on a machine that shrank.
             cpu_millis = greatest(excluded.cpu_millis, h.reserved_cpu_millis),
             memory_mib = greatest(excluded.memory_mib, h.reserved_memory_mib),
             max_attempts = greatest(excluded.max_attempts, h.open_attempts),
             presence = 'live', last_contact_at = now(), forgotten_at = null,
             reconciled_at = case when h.boot_id = excluded.boot_id and exists (
                 select 1 from launchers l where l.host_id = h.id and l.state = 'live') then h.reconciled_at end
         returning id",
        fresh::<HostId>().uuid(),
        facts.engine_id,
        facts.machine_id,
        facts.name,
        facts.boot_id,
        facts.runtime,
        labels,
        facts.cpu_millis.cast_signed(),
        facts.memory_mib.cast_signed(),
        facts.max_attempts.cast_signed(),
    )
    .fetch_one(connection)
    .await?;
    Ok(id.into())
}

/// A name that only a dead engine has is taken from it; the old row keeps its history under a longer name.
async fn free_name(connection: &mut Conn, facts: &HostFacts) -> Result<(), RegisterError> {
    let holder = sqlx::query!(
        r#"select h.id, h.engine_id,
             exists (select 1 from launchers l where l.host_id = h.id and l.state = 'live') as "live!"
           from hosts h where h.name = $1 and (h.engine_id, h.machine_id) <> ($2, $3) for no key update"#,
        facts.name,
        facts.engine_id,
        facts.machine_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match holder {
        None => Ok(()),
        Some(row) if row.live => {
            Err(RegisterError::NameTaken { name: facts.name.clone(), engine_id: row.engine_id })
        }
        Some(row) => {
            sqlx::query!(
                "update hosts set name = left(name, 50) || '-' || right(id::text, 12) where id = $1",
                row.id
            )
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

/// An image that a host holds under an allow-listed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostImage {
    pub name: String,
    pub tag: String,
    /// `sha256:…`.
    pub image_id: String,
}

/// Replaces what is known of a host's images.
///
/// # Errors
/// A database error.
pub async fn record_images(connection: &mut Conn, host: HostId, images: &[HostImage]) -> Result<(), Error> {
    let names: Vec<String> = images.iter().map(|image| image.name.clone()).collect();
    let tags: Vec<String> = images.iter().map(|image| image.tag.clone()).collect();
    let ids: Vec<String> = images.iter().map(|image| image.image_id.clone()).collect();
    sqlx::query!(
        "with held as (select * from unnest($2::text[], $3::text[], $4::text[]) as t(name, tag, image_id)),
         gone as (delete from host_images i where host_id = $1
             and not exists (select 1 from held where held.name = i.name and held.tag = i.tag))
         insert into host_images as i (host_id, name, tag, image_id)
         select distinct on (name, tag) $1, name, tag, image_id from held
         on conflict (host_id, name, tag) do update set image_id = excluded.image_id, seen_at = now()
         where i.image_id <> excluded.image_id or i.seen_at < now() - interval '10 minutes'",
        host.uuid(),
        &names,
        &tags,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that everything on the host's engine was compared with the attempts, so that new work may come.
///
/// # Errors
/// A database error.
pub async fn mark_reconciled(connection: &mut Conn, host: HostId) -> Result<(), Error> {
    sqlx::query!(
        "update hosts set reconciled_at = now() where id = $1 and reconciled_at is null",
        host.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}
