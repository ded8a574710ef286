//! The result of `service_map`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    staging::{ContainerState, Health},
    text_enum,
};

/// Most services in one result.
pub const MAX_SERVICES: usize = 250;
/// Most edges in one result.
pub const MAX_EDGES: usize = 800;

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
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSummary {
    /// The first 12 characters of the container's id.
    pub id: String,
    pub name: String,
    pub image: String,
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
    }
}

/// A tie between two services, by their place in `services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEdge {
    pub from: u32,
    pub to: u32,
    pub kind: EdgeKind,
    /// Name of the network; absent for references.
    pub network: Option<String>,
}
