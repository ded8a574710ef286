//! Launcher processes: one row per incarnation.

use cyberbrain_core::ids::{HostId, LauncherId, RootId};

use super::{Conn, Error};

/// A launcher process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherFacts {
    pub id: LauncherId,
    pub host: HostId,
    pub pid: u32,
    pub version: &'static str,
    pub files_url: Option<String>,
    pub metrics_url: Option<String>,
    /// The logs root that its file server serves.
    pub logs_root: RootId,
}

/// Registers a launcher, alive.
///
/// # Errors
/// A database error.
pub async fn register(connection: &mut Conn, facts: &LauncherFacts) -> Result<(), Error> {
    sqlx::query!(
        "insert into launchers (id, host_id, pid, version, files_url, metrics_url, logs_root)
         values ($1, $2, $3, $4, $5, $6, $7)",
        facts.id.uuid(),
        facts.host.uuid(),
        facts.pid.cast_signed(),
        facts.version,
        facts.files_url,
        facts.metrics_url,
        facts.logs_root.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a launcher has ended. Its attempts are orphaned by the caller, in the same transaction.
///
/// # Errors
/// A database error.
pub async fn end(connection: &mut Conn, launcher: LauncherId) -> Result<(), Error> {
    sqlx::query!("update launchers set state = 'ended' where id = $1", launcher.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// Where the file servers of a host's live launchers are, the one heard of last first; at most four. Where it is known in
/// which logs root a file lies, only those that serve it.
///
/// # Errors
/// A database error.
pub async fn file_servers(
    connection: &mut Conn,
    host: HostId,
    root: Option<RootId>,
) -> Result<Vec<String>, Error> {
    let urls = sqlx::query_scalar!(
        r#"select files_url as "url!" from launchers
           where host_id = $1 and state = 'live' and files_url is not null
               and coalesce(logs_root = $2, true)
           order by last_contact_at desc, id limit 4"#,
        host.uuid(),
        root.map(RootId::uuid),
    )
    .fetch_all(connection)
    .await?;
    Ok(urls)
}
