//! Services, the networks they share, and who names whom.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{EdgeKind, ServiceChange},
    staging::{
        COMPOSE_SERVICE, ContainerState, Health, Inventory, InventoryContainer, MapScope, Mount,
        PortProtocol, PublishedPort,
    },
};
use serde::Serialize;

pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
/// `db:service_healthy:true,cache:service_started:false`
const COMPOSE_DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Networks that every engine has; being on one ties nobody together.
const DEFAULT_NETWORKS: [&str; 5] = ["bridge", "host", "none", "ingress", "docker_gwbridge"];

/// What ties services together. Services are named by their place in the inventory.
#[derive(Debug, PartialEq, Eq)]
pub struct Graph {
    /// User-defined networks by name.
    pub networks: Vec<Network>,
    /// Who names whom, in order, each pair once.
    pub references: Vec<(usize, usize)>,
    /// Who was linked to whom, in order, each pair once.
    pub links: Vec<(usize, usize)>,
    /// Who addresses a port of the host that whom publishes, in order.
    pub port_uses: Vec<(usize, usize, u16)>,
    /// Names that are no container here, and who names them.
    pub unresolved: Vec<(usize, String)>,
}

/// An arrow of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    pub from: usize,
    pub to: usize,
    pub kind: EdgeKind,
    /// The host's port, where it is one.
    pub port: Option<u16>,
}

/// One user-defined network.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    /// The services on it, in order.
    pub members: Vec<usize>,
}

impl Graph {
    pub fn of(containers: &[InventoryContainer]) -> Self {
        let mut networks: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut references = BTreeSet::new();
        let mut unresolved = BTreeSet::new();
        let mut links = BTreeSet::new();
        let mut port_uses = BTreeSet::new();
        let names = Names::of(containers);
        let publishers = publishers(containers);
        for (at, container) in containers.iter().enumerate() {
            for network in &container.networks {
                if !DEFAULT_NETWORKS.contains(&network.name.as_str()) {
                    networks.entry(&network.name).or_default().insert(at);
                }
            }
            for to in container.links.iter().filter_map(|name| names.containers.get(name.as_str())) {
                if *to != at {
                    links.insert((at, *to));
                }
            }
            for port in &container.host_ports {
                if let Some(&to) = publishers.get(port).filter(|to| **to != at) {
                    port_uses.insert((at, to, *port));
                }
            }
            for name in container.references.iter().map(String::as_str).chain(dependencies(container)) {
                match names.resolve(name, container) {
                    Some(to) if to != at => {
                        references.insert((at, to));
                    }
                    Some(_) => {}
                    None => {
                        unresolved.insert((at, name.to_owned()));
                    }
                }
            }
        }
        let network = |(name, members): (&str, BTreeSet<usize>)| Network {
            name: name.to_owned(),
            members: members.into_iter().collect(),
        };
        Self {
            networks: networks.into_iter().map(network).collect(),
            references: references.into_iter().collect(),
            links: links.into_iter().collect(),
            port_uses: port_uses.into_iter().collect(),
            unresolved: unresolved.into_iter().collect(),
        }
    }

    /// Who depends on whom, and by what: references, then links, then ports.
    pub fn dependencies(&self) -> impl Iterator<Item = Dependency> {
        let references = self.references.iter().map(|&(from, to)| (from, to, EdgeKind::Reference, None));
        let links = self.links.iter().map(|&(from, to)| (from, to, EdgeKind::Link, None));
        let ports = self.port_uses.iter().map(|&(from, to, port)| (from, to, EdgeKind::Port, Some(port)));
        references.chain(links).chain(ports).map(|(from, to, kind, port)| Dependency { from, to, kind, port })
    }

    /// Every two services on a network, the smallest networks first: those say most.
    pub fn network_pairs(&self) -> impl Iterator<Item = (usize, usize, &Network)> {
        let mut networks: Vec<&Network> = self.networks.iter().collect();
        networks.sort_by_key(|network| network.members.len());
        networks.into_iter().flat_map(|network| {
            let members = &network.members;
            members
                .iter()
                .enumerate()
                .flat_map(move |(at, &from)| members[at + 1..].iter().map(move |&to| (from, to, network)))
        })
    }
}

/// What containers are called.
struct Names<'a> {
    containers: BTreeMap<&'a str, usize>,
    /// By compose service; with the project of each.
    services: BTreeMap<&'a str, Vec<(Option<&'a str>, usize)>>,
}

impl<'a> Names<'a> {
    fn of(containers: &'a [InventoryContainer]) -> Self {
        let mut services: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (at, container) in containers.iter().enumerate() {
            if let Some(service) = container.labels.get(COMPOSE_SERVICE) {
                services.entry(service).or_default().push((project(container), at));
            }
        }
        let containers =
            containers.iter().enumerate().map(|(at, container)| (container.name.as_str(), at)).collect();
        Self { containers, services }
    }

    /// A container of this name; else a service of the same project; else the only service of this name.
    fn resolve(&self, name: &str, by: &InventoryContainer) -> Option<usize> {
        let of_service = || {
            let candidates = self.services.get(name)?;
            let own = project(by);
            let in_project = candidates.iter().find(|(project, _)| own.is_some() && *project == own);
            let only = (candidates.len() == 1).then(|| &candidates[0]);
            in_project.or(only).map(|(_, at)| *at)
        };
        self.containers.get(name).copied().or_else(of_service)
    }
}

/// By TCP port of the host, who publishes it.
fn publishers(containers: &[InventoryContainer]) -> BTreeMap<u16, usize> {
    let mut out = BTreeMap::new();
    for (at, container) in containers.iter().enumerate() {
        for port in container.ports.iter().filter(|port| port.protocol == PortProtocol::Tcp) {
            if let Some(number) = port.host_port {
                out.entry(number).or_insert(at);
            }
        }
    }
    out
}

fn project(container: &InventoryContainer) -> Option<&str> {
    container.labels.get(COMPOSE_PROJECT).map(String::as_str)
}

fn dependencies(container: &InventoryContainer) -> impl Iterator<Item = &str> {
    let label = container.labels.get(COMPOSE_DEPENDS_ON).map_or("", String::as_str);
    label.split(',').map(|part| part.split(':').next().unwrap_or(part).trim()).filter(|name| !name.is_empty())
}

/// `graph.json`; its form is documented in `docs/API.md`.
#[derive(Serialize)]
pub struct Artifact<'a> {
    taken_at: DateTime<Utc>,
    host: &'a str,
    scope: MapScope,
    not_shown: u64,
    changes: &'a [ServiceChange],
    services: Vec<Service<'a>>,
    networks: Vec<Members<'a>>,
    references: Vec<Reference<'a>>,
    links: Vec<Reference<'a>>,
    port_uses: Vec<PortUse<'a>>,
    unresolved: Vec<Unresolved<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    id: &'a str,
    name: &'a str,
    image: &'a str,
    image_id: &'a str,
    restart_count: u32,
    ports: &'a [PublishedPort],
    mounts: &'a [Mount],
    state: ContainerState,
    health: Health,
    compose_project: Option<&'a str>,
    compose_service: Option<&'a str>,
}

#[derive(Serialize)]
struct Members<'a> {
    name: &'a str,
    services: Vec<&'a str>,
}

#[derive(Serialize)]
struct Reference<'a> {
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct PortUse<'a> {
    from: &'a str,
    to: &'a str,
    port: u16,
}

#[derive(Serialize)]
struct Unresolved<'a> {
    from: &'a str,
    name: &'a str,
}

/// The whole graph, for tools.
pub fn artifact<'a>(
    inventory: &'a Inventory,
    graph: &'a Graph,
    changes: &'a [ServiceChange],
) -> Artifact<'a> {
    let containers = &inventory.containers;
    let name = |at: usize| containers[at].name.as_str();
    let service = |container: &'a InventoryContainer| Service {
        id: &container.id,
        name: &container.name,
        image: &container.image,
        image_id: &container.image_id,
        restart_count: container.restart_count,
        ports: &container.ports,
        mounts: &container.mounts,
        state: container.state,
        health: container.health,
        compose_project: project(container),
        compose_service: container.labels.get(COMPOSE_SERVICE).map(String::as_str),
    };
    let members = |network: &'a Network| Members {
        name: &network.name,
        services: network.members.iter().map(|&at| name(at)).collect(),
    };
    let pairs = |pairs: &[(usize, usize)]| {
        pairs.iter().map(|&(from, to)| Reference { from: name(from), to: name(to) }).collect()
    };
    Artifact {
        taken_at: inventory.taken_at,
        host: &inventory.host,
        scope: inventory.scope,
        not_shown: inventory.not_shown,
        changes,
        services: containers.iter().map(service).collect(),
        networks: graph.networks.iter().map(members).collect(),
        references: pairs(&graph.references),
        links: pairs(&graph.links),
        port_uses: graph
            .port_uses
            .iter()
            .map(|&(from, to, port)| PortUse { from: name(from), to: name(to), port })
            .collect(),
        unresolved: graph
            .unresolved
            .iter()
            .map(|(from, named)| Unresolved { from: name(*from), name: named })
            .collect(),
    }
}
