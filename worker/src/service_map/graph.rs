//! Services, the networks they share, and who names whom.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cyberbrain_core::staging::{ContainerState, Health, Inventory, InventoryContainer};
use serde::Serialize;

pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";
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
    /// Names that are no container here, and who names them.
    pub unresolved: Vec<(usize, String)>,
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
        let names = Names::of(containers);
        for (at, container) in containers.iter().enumerate() {
            for network in &container.networks {
                if !DEFAULT_NETWORKS.contains(&network.name.as_str()) {
                    networks.entry(&network.name).or_default().insert(at);
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
            unresolved: unresolved.into_iter().collect(),
        }
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

fn project(container: &InventoryContainer) -> Option<&str> {
    container.labels.get(COMPOSE_PROJECT).map(String::as_str)
}

fn dependencies(container: &InventoryContainer) -> impl Iterator<Item = &str> {
    let label = container.labels.get(COMPOSE_DEPENDS_ON).map_or("", String::as_str);
    label.split(',').map(|part| part.split(':').next().unwrap_or(part).trim()).filter(|name| !name.is_empty())
}

/// `graph.json`.
#[derive(Serialize)]
pub struct Artifact<'a> {
    taken_at: DateTime<Utc>,
    host: &'a str,
    services: Vec<Service<'a>>,
    networks: Vec<Members<'a>>,
    references: Vec<Reference<'a>>,
    unresolved: Vec<Unresolved<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    id: &'a str,
    name: &'a str,
    image: &'a str,
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
struct Unresolved<'a> {
    from: &'a str,
    name: &'a str,
}

/// The whole graph, for tools.
pub fn artifact<'a>(inventory: &'a Inventory, graph: &'a Graph) -> Artifact<'a> {
    let containers = &inventory.containers;
    let name = |at: usize| containers[at].name.as_str();
    let service = |container: &'a InventoryContainer| Service {
        id: &container.id,
        name: &container.name,
        image: &container.image,
        state: container.state,
        health: container.health,
        compose_project: project(container),
        compose_service: container.labels.get(COMPOSE_SERVICE).map(String::as_str),
    };
    let members = |network: &'a Network| Members {
        name: &network.name,
        services: network.members.iter().map(|&at| name(at)).collect(),
    };
    Artifact {
        taken_at: inventory.taken_at,
        host: &inventory.host,
        services: containers.iter().map(service).collect(),
        networks: graph.networks.iter().map(members).collect(),
        references: graph
            .references
            .iter()
            .map(|&(from, to)| Reference { from: name(from), to: name(to) })
            .collect(),
        unresolved: graph
            .unresolved
            .iter()
            .map(|(from, named)| Unresolved { from: name(*from), name: named })
            .collect(),
    }
}
