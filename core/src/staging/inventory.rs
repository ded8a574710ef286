//! `inventory.json`: the containers of one host at one moment.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::text_enum;

/// The containers of one host at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub taken_at: DateTime<Utc>,
    /// Name of the host.
    pub host: String,
    pub containers: Vec<InventoryContainer>,
}

text_enum! {
    /// The engine's container states.
    ContainerState("container state") {
        Created = "created",
        Running = "running",
        Paused = "paused",
        Restarting = "restarting",
        Removing = "removing",
        Exited = "exited",
        Dead = "dead",
    }
}

text_enum! {
    /// What the container's own health check says.
    Health("container health") {
        /// It has no health check.
        None = "none",
        Starting = "starting",
        Healthy = "healthy",
        Unhealthy = "unhealthy",
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryContainer {
    /// The engine's full id.
    pub id: String,
    /// Without the engine's leading slash.
    pub name: String,
    /// Image as it was asked for, e.g. `postgres:15`.
    pub image: String,
    pub image_id: String,
    pub state: ContainerState,
    pub health: Health,
    pub created_at: DateTime<Utc>,
    pub restart_count: u32,
    pub networks: Vec<NetworkAttachment>,
    pub ports: Vec<PublishedPort>,
    pub mounts: Vec<Mount>,
    pub labels: BTreeMap<String, String>,
    /// Names of other containers or compose services that its environment or command names. Only the
    /// names: the values they were found in are never stored.
    #[serde(default)]
    pub references: Vec<String>,
}

/// A network that a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttachment {
    pub name: String,
    /// Absent while it is not running.
    pub ip: Option<IpAddr>,
}

text_enum! {
    /// Transport of a port.
    PortProtocol("port protocol") {
        Tcp = "tcp",
        Udp = "udp",
        Sctp = "sctp",
    }
}

/// A port of the container; published if the host's side is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    pub container_port: u16,
    pub protocol: PortProtocol,
    pub host_ip: Option<IpAddr>,
    pub host_port: Option<u16>,
}

text_enum! {
    /// Where a mount comes from.
    MountKind("mount kind") {
        Bind = "bind",
        Volume = "volume",
        Tmpfs = "tmpfs",
        /// Named pipes, clusters and whatever an engine adds.
        Other = "other",
    }
}

text_enum! {
    /// What the container may do to a mount.
    MountAccess("mount access") {
        ReadOnly = "read_only",
        ReadWrite = "read_write",
    }
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Host path or volume name; absent for tmpfs.
    pub source: Option<String>,
    /// Path inside the container.
    pub destination: String,
    pub access: MountAccess,
}
