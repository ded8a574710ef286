//! `service_map`: the staged container inventory as services and what ties them together.
//!
//! Two services are tied by a user-defined network that both are on, or by one naming the other in its
//! environment, command or compose dependencies. Nothing is looked up: the map shows what the inventory knows.

mod graph;
mod mermaid;
mod report;

use cyberbrain_core::{
    outcome::{
        EdgeKind, JobResult, MAX_EDGES, MAX_SERVICES, ProgressUnit, ServiceEdge, ServiceMap, ServiceSummary,
        clean_text,
    },
    staging::{INVENTORY_FILE, Inventory, InventoryContainer, JOB_FILE, JobInput},
};
use serde::de::IgnoredAny;

use self::graph::Graph;
use crate::{arguments::Directories, error::Error, files, progress::Progress};

/// Name of the graph among the artifacts.
const GRAPH_FILE: &str = "graph.json";
/// Characters of a container's id that tell it apart.
const SHORT_ID: usize = 12;

/// Runs the job.
pub fn run(directories: &Directories, progress: &mut Progress<'_>) -> Result<(), Error> {
    // Read to be sure that this is a worker's input; nothing in it changes what is done.
    let _job: JobInput<IgnoredAny> = files::read_json(&directories.input, JOB_FILE)?;
    let mut inventory: Inventory = files::read_json(&directories.input, INVENTORY_FILE)?;
    inventory.containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let total = inventory.containers.len() as u64;
    progress.tell("mapping services", 0, total, ProgressUnit::Items);

    let graph = Graph::of(&inventory.containers);
    files::write_json(directories, GRAPH_FILE, &graph::artifact(&inventory, &graph))?;
    let result = files::fit(JobResult::ServiceMap(result(&inventory, &graph)), |result| {
        if let JobResult::ServiceMap(map) = result {
            let kept = map.services.len() / 2;
            keep_services(map, kept);
        }
    })?;
    files::write_outcome(directories, report::write(&inventory, &graph), &result)?;
    progress.tell("mapping services", total, total, ProgressUnit::Items);
    progress.tell("done", 1, 1, ProgressUnit::Items);
    Ok(())
}

/// The typed result: as many services as are allowed, and the edges between these.
fn result(inventory: &Inventory, graph: &Graph) -> ServiceMap {
    let containers = &inventory.containers;
    let references = graph.references.iter().map(|&(from, to)| (from, to, EdgeKind::Reference, None));
    let shared = graph
        .network_pairs()
        .map(|(from, to, network)| (from, to, EdgeKind::Network, Some(clean_text(&network.name))));
    let edge = |(from, to, kind, network)| ServiceEdge { from: from as u32, to: to as u32, kind, network };
    let mut map = ServiceMap {
        taken_at: inventory.taken_at,
        host: clean_text(&inventory.host),
        services: containers.iter().map(summary).collect(),
        services_left_out: 0,
        edges: references.chain(shared).map(edge).collect(),
        edges_left_out: 0,
        networks: graph.networks.len() as u64,
    };
    keep_services(&mut map, MAX_SERVICES);
    files::shorten(&mut map.edges, MAX_EDGES, &mut map.edges_left_out);
    map
}

/// Keeps the first so many services and the edges between them.
fn keep_services(map: &mut ServiceMap, kept: usize) {
    let edges = map.edges.len();
    map.edges.retain(|edge| (edge.from.max(edge.to) as usize) < kept);
    map.edges_left_out += (edges - map.edges.len()) as u64;
    files::shorten(&mut map.services, kept, &mut map.services_left_out);
}

fn summary(container: &InventoryContainer) -> ServiceSummary {
    let label = |name: &str| container.labels.get(name).map(|value| clean_text(value));
    ServiceSummary {
        id: clean_text(short_id(container)),
        name: clean_text(&container.name),
        image: clean_text(&container.image),
        state: container.state,
        health: container.health,
        restart_count: container.restart_count,
        networks: container.networks.len() as u64,
        published_ports: container.ports.iter().filter(|port| port.host_port.is_some()).count() as u64,
        mounts: container.mounts.len() as u64,
        compose_project: label(graph::COMPOSE_PROJECT),
        compose_service: label(graph::COMPOSE_SERVICE),
    }
}

fn short_id(container: &InventoryContainer) -> &str {
    let end = container.id.char_indices().nth(SHORT_ID).map_or(container.id.len(), |(at, _)| at);
    &container.id[..end]
}
