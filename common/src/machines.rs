//! What people do to machines: cordon, drain and forget hosts, cordon cards, and have containers looked through.
//!
//! One transaction holds the change and its audit row. Guarantees: placement sees a cordon with its next look, what runs
//! goes on; repeating anything changes nothing more; a host is forgotten only when nothing lives or is held there.
//! Deliberately absent: stopping what runs, which is `cancel`.

use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::HostId,
    text_enum,
};
use serde_json::json;
use sqlx::Connection as _;

use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        machines::{self, Intake},
    },
    launch::Problem,
    reason::ReasonRequest,
    wake::{self, CAPACITY_FREED},
};

text_enum! {
    /// What is done to a host.
    HostVerb("action on a host") {
        /// Nothing new is placed there.
        Cordon = "cordon",
        /// Takes back cordon and drain.
        Uncordon = "uncordon",
        /// As cordon; the host says when it is empty.
        Drain = "drain",
        /// It is not listed any more.
        Forget = "forget",
    }
}

text_enum! {
    /// What is done to a card.
    GpuVerb("action on a GPU") {
        Cordon = "cordon",
        Uncordon = "uncordon",
    }
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the request has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    /// It lives.
    #[error("{launchers} launchers of host {name} are in contact: stop them first, or cordon it instead")]
    InContact { name: String, launchers: i64 },
    /// Something is still booked on it.
    #[error(
        "{attempts} attempts still hold something of host {name}: wait until they are given up, or cancel their run jobs"
    )]
    Holds { name: String, attempts: i64 },
    #[error("the change could not be stored")]
    Database(#[from] db::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

fn no_host(host: HostId) -> Error {
    db::Error::NotFound { what: "host", id: host.to_string() }.into()
}

/// Does it to a host.
///
/// # Errors
/// See [`Error`].
pub async fn change_host(
    connection: &mut Conn,
    host: HostId,
    verb: HostVerb,
    request: &ReasonRequest,
    actor: &Actor,
) -> Result<(), Error> {
    let reason = request.check().map_err(Error::Invalid)?;
    let mut tx = connection.begin().await?;
    let intake = match verb {
        HostVerb::Cordon => Some(Intake::Cordoned),
        HostVerb::Uncordon => Some(Intake::Open),
        HostVerb::Drain => Some(Intake::Draining),
        HostVerb::Forget => None,
    };
    let name = match intake {
        Some(intake) => {
            machines::set_host(&mut tx, host, intake, reason).await?.ok_or_else(|| no_host(host))?
        }
        None => forget(&mut tx, host).await?,
    };
    let entry = Entry::new(Operation::Change, actor).host(name.as_str()).reason(reason);
    audit::write(&mut tx, entry.config(json!({ "host": verb }))).await?;
    tx.commit().await?;
    tracing::info!(host.name = %name, %verb, actor = %actor, "host changed");
    if verb == HostVerb::Uncordon {
        wake::send(connection, CAPACITY_FREED).await;
    }
    Ok(())
}

async fn forget(tx: &mut Conn, host: HostId) -> Result<String, Error> {
    let holding = machines::lock_holding(tx, host).await?.ok_or_else(|| no_host(host))?;
    let machines::Holding { name, launchers, attempts } = holding;
    if launchers > 0 {
        return Err(Error::InContact { name, launchers });
    }
    if attempts > 0 {
        return Err(Error::Holds { name, attempts });
    }
    machines::forget(tx, host).await?;
    Ok(name)
}

/// Does it to a card.
///
/// # Errors
/// See [`Error`].
pub async fn change_gpu(
    connection: &mut Conn,
    gpu: &str,
    verb: GpuVerb,
    request: &ReasonRequest,
    actor: &Actor,
) -> Result<(), Error> {
    let reason = request.check().map_err(Error::Invalid)?;
    let intake = match verb {
        GpuVerb::Cordon => Intake::Cordoned,
        GpuVerb::Uncordon => Intake::Open,
    };
    let mut tx = connection.begin().await?;
    let card = machines::set_gpu(&mut tx, gpu, intake, reason)
        .await?
        .ok_or_else(|| db::Error::NotFound { what: "GPU", id: gpu.to_owned() })?;
    let entry = Entry::new(Operation::Change, actor).host(card.host).gpus(vec![card.uuid.to_string()]);
    audit::write(&mut tx, entry.reason(reason).config(json!({ "gpu": verb }))).await?;
    tx.commit().await?;
    tracing::info!(gpu.uuid = %card.uuid, %verb, actor = %actor, "card changed");
    if verb == GpuVerb::Uncordon {
        wake::send(connection, CAPACITY_FREED).await;
    }
    Ok(())
}

/// Asks the launchers of a host to look through its containers with their next look, within ten seconds.
///
/// # Errors
/// See [`Error`].
pub async fn request_cleanup(connection: &mut Conn, host: HostId, actor: &Actor) -> Result<(), Error> {
    let mut tx = connection.begin().await?;
    let holding = machines::lock_holding(&mut tx, host).await?.ok_or_else(|| no_host(host))?;
    machines::request_cleanup(&mut tx, host, &actor.to_string()).await?;
    let entry = Entry::new(Operation::Change, actor).host(holding.name.as_str());
    audit::write(&mut tx, entry.config(json!({ "host": "cleanup_orphans" }))).await?;
    tx.commit().await?;
    tracing::info!(host.name = %holding.name, actor = %actor, "cleanup asked for");
    Ok(())
}
