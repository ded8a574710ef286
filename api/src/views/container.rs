//! Containers as launchers saw them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_common::db::inventory::Seen;
use cyberbrain_core::{
    ids::RunId,
    staging::{
        ContainerState, Health, MountAccess, MountKind, NetworkAttachment, PortProtocol, PublishedPort,
    },
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};
use uuid::Uuid;

/// A container as it was at one moment. Values of its environment and its command are never kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ContainerView {
    /// Of the snapshot.
    id: Uuid,
    /// The engine's full id.
    container_id: String,
    name: String,
    /// Name of its host.
    host: String,
    taken_at: DateTime<Utc>,
    /// Whether this is of the newest snapshot of its host: it was there a minute ago, unless the host is silent.
    current: bool,
    /// Whether its logs may be read, by the container allowlist as it is now.
    allowlisted: bool,
    /// The run that the snapshot was made for; null if the clock made it.
    run_id: Option<RunId>,
    /// As it was asked for, e.g. `postgres:15`.
    image: String,
    image_id: String,
    state: ContainerState,
    /// What its own health check says.
    #[schema(schema_with = health)]
    health: Health,
    created_at: DateTime<Utc>,
    restart_count: u32,
    networks: Vec<ContainerNetwork>,
    ports: Vec<ContainerPort>,
    mounts: Vec<ContainerMount>,
    labels: BTreeMap<String, String>,
    /// Names of other containers that its environment or command names.
    references: Vec<String>,
}

/// There is a `Health` of the service, too.
fn health() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Health::NAMES.iter().copied())).build()
}

/// A network that a container is attached to.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ContainerNetwork {
    name: String,
    /// null while it is not running.
    ip: Option<String>,
}

/// A port of a container; published if `host_port` is there.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ContainerPort {
    container_port: u16,
    protocol: PortProtocol,
    host_ip: Option<String>,
    host_port: Option<u16>,
}

/// A mount of a container.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ContainerMount {
    kind: MountKind,
    /// Path on the host or name of a volume; null for tmpfs.
    source: Option<String>,
    /// Path inside the container.
    destination: String,
    access: MountAccess,
}

impl From<NetworkAttachment> for ContainerNetwork {
    fn from(network: NetworkAttachment) -> Self {
        Self { name: network.name, ip: network.ip.map(|ip| ip.to_string()) }
    }
}

impl From<PublishedPort> for ContainerPort {
    fn from(port: PublishedPort) -> Self {
        Self {
            container_port: port.container_port,
            protocol: port.protocol,
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: port.host_port,
        }
    }
}

impl From<Seen> for ContainerView {
    fn from(seen: Seen) -> Self {
        let container = seen.container;
        let mounts = container.mounts.into_iter().map(|mount| ContainerMount {
            kind: mount.kind,
            source: mount.source,
            destination: mount.destination,
            access: mount.access,
        });
        Self {
            id: seen.id,
            container_id: container.id,
            name: container.name,
            host: seen.host,
            taken_at: seen.taken_at,
            current: seen.current,
            allowlisted: seen.allowlisted,
            run_id: seen.run,
            image: container.image,
            image_id: container.image_id,
            state: container.state,
            health: container.health,
            created_at: container.created_at,
            restart_count: container.restart_count,
            networks: container.networks.into_iter().map(Into::into).collect(),
            ports: container.ports.into_iter().map(Into::into).collect(),
            mounts: mounts.collect(),
            labels: container.labels,
            references: container.references,
        }
    }
}

/// One page of containers, or of the history of one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ContainerPage {
    pub containers: Vec<ContainerView>,
    /// Pass it as `cursor` to read on; null on the last page.
    pub next_cursor: Option<String>,
}
