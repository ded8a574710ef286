//! The installation's identity: one random id that labels our containers, and the key of our HMACs.
//!
//! Guarantees that a cloned or restored database gets a new identity, so that two installations on one engine
//! never take each other's containers for their own.

use cyberbrain_core::ids::InstanceId;
use rand::RngCore;

use super::{Conn, Error};
use crate::ids::fresh;

/// Who we are.
#[derive(Clone)]
pub struct Instance {
    pub id: InstanceId,
    /// Key of the HMACs for worker and file tokens.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes the identity, or a new one when this database is a copy of the one it was made in.
///
/// # Errors
/// When the database can't be written.
pub async fn ensure(connection: &mut Conn) -> Result<(), Error> {
    let mut secret = [0_u8; 32];
    rand::rng().fill_bytes(&mut secret);
    sqlx::query!(
        "insert into instance (id, secret, system_identifier, database_oid)
         select $1, $2, system_identifier, d.oid::bigint
         from pg_control_system(), pg_database d where d.datname = current_database()
         on conflict (singleton) do update set id = excluded.id, secret = excluded.secret,
             system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
             created_at = now()
         where (instance.system_identifier, instance.database_oid)
             is distinct from (excluded.system_identifier, excluded.database_oid)",
        fresh::<InstanceId>().uuid(),
        secret.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the order of the audit trail that of this server where the trail was written by another one. Returns how many rows
/// it found.
///
/// # Errors
/// When the database can't be written.
pub async fn settle_trail(connection: &mut Conn) -> Result<i32, Error> {
    let settled = sqlx::query_scalar!(r#"select settle_audit_transactions() as "settled!""#);
    Ok(settled.fetch_one(connection).await?)
}

/// Reads the identity.
///
/// # Errors
/// When the database can't be read or was never migrated.
pub async fn read(connection: &mut Conn) -> Result<Instance, Error> {
    let row = sqlx::query!("select id, secret from instance").fetch_one(connection).await?;
    Ok(Instance { id: row.id.into(), secret: row.secret })
}
