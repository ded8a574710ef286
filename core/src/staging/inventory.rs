//! `inventory.json`: the containers of one host at one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::text_enum;

/// The containers of one host at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub taken_at: DateTime<Utc>,
    /// Name of the host.
    pub host: String,
    /// Which containers are in it.
    #[serde(default)]
    pub scope: MapScope,
    /// Containers of the host that the scope leaves out.
    #[serde(default)]
    pub not_shown: u64,
    pub containers: Vec<InventoryContainer>,
}

impl Inventory {
    /// The same with those containers only that `shown` says. Nobody refers or links to the others any more, and their ports are
    /// no ports that anybody uses, so their names are gone; but a container keeps its own labels, whatever they name.
    #[must_use]
    pub fn narrowed(mut self, shown: impl Fn(&InventoryContainer) -> bool) -> Self {
        let all = self.containers.len();
        self.containers.retain(shown);
        self.not_shown += (all - self.containers.len()) as u64;
        let mut names = BTreeSet::new();
        let mut ports = BTreeSet::new();
        for container in &self.containers {
            names.insert(container.name.clone());
            names.extend(container.labels.get(COMPOSE_SERVICE).cloned());
            ports.extend(container.ports.iter().filter_map(|port| port.host_port));
        }
        for container in &mut self.containers {
            container.references.retain(|name| names.contains(name));
            container.links.retain(|name| names.contains(name));
            container.host_ports.retain(|port| ports.contains(port));
        }
        self
    }
}

/// Compose's name of the service that a container belongs to.
pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";

text_enum! {
    /// Which containers of a host a service map shows.
    MapScope("scope of a service map") {
        /// Those on the container allowlist.
        Allowlist = "allowlist",
        /// All of them.
        All = "all",
    }
}

impl Default for MapScope {
    /// Nobody sees more than what an administrator allowed, unless they say so.
    fn default() -> Self {
        Self::Allowlist
    }
}

/// What a `service_map` may be asked for. Other parameters are not looked at: those of a Run are for all of its jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMapParams {
    #[serde(default)]
    pub scope: MapScope,
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

/// How a container last ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    pub at: DateTime<Utc>,
    pub code: i64,
    /// The kernel killed it for lack of memory.
    pub out_of_memory: bool,
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
    /// Absent if it never ended.
    #[serde(default)]
    pub last_exit: Option<LastExit>,
    pub networks: Vec<NetworkAttachment>,
    pub ports: Vec<PublishedPort>,
    pub mounts: Vec<Mount>,
    pub labels: BTreeMap<String, String>,
    /// Names of other containers or compose services that its environment or command names. Only the
    /// names: the values they were found in are never stored.
    #[serde(default)]
    pub references: Vec<String>,
    /// Names of the containers that it was linked to when it was made.
    #[serde(default)]
    pub links: Vec<String>,
    /// Ports of the host itself that its environment or command addresses. Only the numbers.
    #[serde(default)]
    pub host_ports: Vec<u16>,
}

/// What is kept of each list of a container, and the longest text in it; an engine promises neither.
const MAX_LISTED: usize = 64;
const MAX_CHARACTERS: usize = 500;

impl InventoryContainer {
    /// The same in the limits of what is stored: at most 64 of each list, and texts of at most 500 characters without NUL.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let first = |text: &String| -> String {
            text.chars().filter(|character| *character != '\0').take(MAX_CHARACTERS).collect()
        };
        let mount = |mount: &Mount| Mount {
            source: mount.source.as_ref().map(first),
            destination: first(&mount.destination),
            ..mount.clone()
        };
        Self {
            id: first(&self.id),
            name: first(&self.name),
            image: first(&self.image),
            image_id: first(&self.image_id),
            networks: (self.networks.iter().take(MAX_LISTED))
                .map(|network| NetworkAttachment { name: first(&network.name), ip: network.ip })
                .collect(),
            ports: self.ports.iter().take(MAX_LISTED).copied().collect(),
            mounts: self.mounts.iter().take(MAX_LISTED).map(mount).collect(),
            labels: (self.labels.iter().take(MAX_LISTED))
                .map(|(key, value)| (first(key), first(value)))
                .collect(),
            references: self.references.iter().take(MAX_LISTED).map(first).collect(),
            links: self.links.iter().take(MAX_LISTED).map(first).collect(),
            host_ports: self.host_ports.iter().take(MAX_LISTED).copied().collect(),
            ..*self
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn container(count: usize, text: &str) -> InventoryContainer {
        let texts = || (0..count).map(|n| format!("{n}{text}"));
        InventoryContainer {
            id: text.to_owned(),
            name: text.to_owned(),
            image: text.to_owned(),
            image_id: text.to_owned(),
            state: ContainerState::Running,
            health: Health::None,
            created_at: DateTime::UNIX_EPOCH,
            restart_count: 3,
            last_exit: None,
            networks: texts().map(|name| NetworkAttachment { name, ip: None }).collect(),
            ports: Vec::new(),
            mounts: texts()
                .map(|text| Mount {
                    kind: MountKind::Bind,
                    source: Some(text.clone()),
                    destination: text,
                    access: MountAccess::ReadOnly,
                })
                .collect(),
            labels: texts().zip(texts()).collect(),
            references: texts().collect(),
            links: vec![text.to_owned(); count],
            host_ports: vec![80; count],
        }
    }

    #[test]
    fn a_container_of_any_size_becomes_one_that_can_be_stored() {
        let usual = container(5, "a name");
        assert_eq!(usual.bounded(), usual);
        // The largest, as text: controls are written with six characters each.
        for text in ["ü".repeat(10_000), "\u{1}".repeat(10_000), "a\0".repeat(10_000)] {
            let bounded = container(1_000, &text).bounded();
            assert_eq!(bounded.labels.len(), 64);
            assert_eq!(bounded.name.chars().count(), 500);
            assert!(!bounded.name.contains('\0'));
            assert!(serde_json::to_vec(&bounded).unwrap().len() < 2 * 1024 * 1024);
        }
    }

    #[test]
    fn what_is_not_shown_leaves_no_name_behind() {
        let made = |name: &str, references: &[&str], links: &[&str], port: u16, host_ports: &[u16]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let published = PublishedPort {
                container_port: 80,
                protocol: PortProtocol::Tcp,
                host_ip: None,
                host_port: Some(port),
            };
            InventoryContainer {
                name: name.to_owned(),
                labels: BTreeMap::from([(COMPOSE_SERVICE.to_owned(), format!("{name}-service"))]),
                references: texts(references),
                links: texts(links),
                ports: vec![published],
                host_ports: host_ports.to_vec(),
                ..container(0, "")
            }
        };
        let inventory = Inventory {
            taken_at: DateTime::UNIX_EPOCH,
            host: "alpha".into(),
            scope: MapScope::Allowlist,
            not_shown: 0,
            containers: vec![
                made("web", &["db", "db-service", "vault", "vault-service"], &["db", "vault"], 1, &[2, 3, 4]),
                made("db", &[], &[], 2, &[]),
                made("vault", &["web"], &[], 3, &[]),
            ],
        };
        let shown = inventory.narrowed(|container| container.name != "vault");
        assert_eq!((shown.containers.len(), shown.not_shown), (2, 1));
        let web = &shown.containers[0];
        assert_eq!(web.references, ["db", "db-service"]);
        assert_eq!((web.links.as_slice(), web.host_ports.as_slice()), (&["db".to_owned()][..], &[2][..]));
        assert!(!serde_json::to_string(&shown).unwrap().contains("vault"));
    }
}
