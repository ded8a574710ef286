//! The result of `service_map`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::RunId,
    staging::{ContainerState, Health, MapScope},
    text_enum,
};

/// Most services in one result.
pub const MAX_SERVICES: usize = 250;
/// Most edges in one result.
pub const MAX_EDGES: usize = 800;
/// Most changes in one result.
pub const MAX_CHANGES: usize = 100;

/// The containers of one host as services, and what ties them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceMap {
    pub taken_at: DateTime<Utc>,
    pub host: String,
    /// By name.
    pub services: Vec<ServiceSummary>,
    pub services_left_out: u64,
    pub edges: Vec<ServiceEdge>,
    pub edges_left_out: u64,
    /// User-defined networks with at least one service.
    pub networks: u64,
    #[serde(default = "all")]
    pub scope: MapScope,
    /// Containers of the host that the scope leaves out.
    #[serde(default)]
    pub not_shown: u64,
    /// The Run whose map of this host and scope it was compared with; absent if there was none.
    #[serde(default)]
    pub compared_with: Option<RunId>,
    /// What is different since then, by name.
    #[serde(default)]
    pub changes: Vec<ServiceChange>,
    #[serde(default)]
    pub changes_left_out: u64,
}

/// Results from before there were scopes showed everything.
const fn all() -> MapScope {
    MapScope::All
}

text_enum! {
    /// How a service differs from an earlier map.
    ChangeKind("change") {
        New = "new",
        Gone = "gone",
        /// It runs from another image.
        Image = "image",
        /// It is another container of the same name and image.
        Recreated = "recreated",
        Restarted = "restarted",
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceChange {
    pub kind: ChangeKind,
    pub name: String,
    /// How often the engine restarted it since the earlier map; 0 for every other kind.
    pub restarts: u32,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSummary {
    /// The first 12 characters of the container's id.
    pub id: String,
    pub name: String,
    pub image: String,
    /// The engine's id of the image; empty if it did not say.
    #[serde(default)]
    pub image_id: String,
    pub state: ContainerState,
    pub health: Health,
    pub restart_count: u32,
    pub networks: u64,
    pub published_ports: u64,
    pub mounts: u64,
    pub compose_project: Option<String>,
    pub compose_service: Option<String>,
}

text_enum! {
    /// What ties two services together.
    EdgeKind("edge") {
        /// Both are on the same user-defined network.
        Network = "network",
        /// The first one's environment or command names the second one.
        Reference = "reference",
        /// The first one was linked to the second one.
        Link = "link",
        /// The first one addresses a port of the host that the second one publishes.
        Port = "port",
    }
}

/// A tie between two services, by their place in `services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEdge {
    pub from: u32,
    pub to: u32,
    pub kind: EdgeKind,
    /// Name of the network; absent for the other kinds.
    pub network: Option<String>,
    /// The host's port; absent for the other kinds.
    #[serde(default)]
    pub port: Option<u16>,
}
