//! `service_map`: the staged container inventory as services and what ties them together.
//!
//! Two services are tied by a user-defined network that both are on, or by one naming the other in its
//! environment, command or compose dependencies, by a link, or by one using a port of the host that the other publishes.
//! Nothing is looked up: the map shows what the inventory knows, and what is different since the last one of this host.

mod changes;
mod drawing;
mod graph;
mod mermaid;
mod report;

use cyberbrain_core::{
    outcome::{
        EdgeKind, JobResult, MAX_CHANGES, MAX_EDGES, MAX_SERVICES, ProgressUnit, ServiceEdge, ServiceMap,
        ServiceSummary, clean_text,
    },
    staging::{
        COMPOSE_SERVICE, INVENTORY_FILE, Inventory, InventoryContainer, JOB_FILE, JobInput, PREVIOUS_FILE,
        PreviousResult, ServiceMapParams,
    },
};
use serde::Deserialize as _;

use self::{changes::Comparison, graph::Graph};
use crate::{arguments::Directories, error::Error, files, progress::Progress};

/// Name of the graph among the artifacts.
const GRAPH_FILE: &str = "graph.json";
/// Name of the picture among the artifacts.
const DRAWING_FILE: &str = "service-map.svg";
/// Characters of a container's id that tell it apart.
const SHORT_ID: usize = 12;

/// Runs the job.
pub fn run(directories: &Directories, progress: &mut Progress<'_>) -> Result<(), Error> {
    let job: JobInput<serde_json::Value> = files::read_json(&directories.input, JOB_FILE)?;
    // The launcher has done what they say; a scope that is none must not pass for the usual one.
    ServiceMapParams::deserialize(&job.params)
        .map_err(|source| Error::Params { path: directories.input.join(JOB_FILE), source })?;
    let mut inventory: Inventory = files::read_json(&directories.input, INVENTORY_FILE)?;
    inventory.containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let total = inventory.containers.len() as u64;
    progress.tell("mapping services", 0, total, ProgressUnit::Items);

    let graph = Graph::of(&inventory.containers);
    let previous: Option<PreviousResult> = files::read_json_if_there(&directories.input, PREVIOUS_FILE)?;
    let comparison = Comparison::of(&inventory, previous.as_ref());
    files::write_json(directories, GRAPH_FILE, &graph::artifact(&inventory, &graph, comparison.changes()))?;
    if !inventory.containers.is_empty() {
        files::write_file(directories, DRAWING_FILE, drawing::draw(&inventory, &graph).as_bytes())?;
    }
    let result = files::fit(JobResult::ServiceMap(result(&inventory, &graph, &comparison)), |result| {
        if let JobResult::ServiceMap(map) = result {
            let (kept, changes) = (map.services.len() / 2, map.changes.len() / 2);
            keep_services(map, kept);
            files::shorten(&mut map.changes, changes, &mut map.changes_left_out);
        }
    })?;
    files::write_outcome(directories, report::write(&inventory, &graph, &comparison), &result)?;
    progress.tell("mapping services", total, total, ProgressUnit::Items);
    progress.tell("done", 1, 1, ProgressUnit::Items);
    Ok(())
}

/// The typed result: as many services as are allowed, and the edges between these.
fn result(inventory: &Inventory, graph: &Graph, comparison: &Comparison<'_>) -> ServiceMap {
    let containers = &inventory.containers;
    let dependencies = graph.dependencies().map(|edge| ServiceEdge {
        from: edge.from as u32,
        to: edge.to as u32,
        kind: edge.kind,
        network: None,
        port: edge.port,
    });
    let shared = graph.network_pairs().map(|(from, to, network)| ServiceEdge {
        from: from as u32,
        to: to as u32,
        kind: EdgeKind::Network,
        network: Some(clean_text(&network.name)),
        port: None,
    });
    let mut map = ServiceMap {
        taken_at: inventory.taken_at,
        host: clean_text(&inventory.host),
        services: containers.iter().map(summary).collect(),
        services_left_out: 0,
        edges: dependencies.chain(shared).collect(),
        edges_left_out: 0,
        networks: graph.networks.len() as u64,
        scope: inventory.scope,
        not_shown: inventory.not_shown,
        compared_with: match comparison {
            Comparison::Nothing | Comparison::OtherScope(_) => None,
            Comparison::With { previous, .. } => Some(previous.run_id),
        },
        changes: comparison.changes().to_vec(),
        changes_left_out: 0,
    };
    files::shorten(&mut map.changes, MAX_CHANGES, &mut map.changes_left_out);
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
        image_id: clean_text(&container.image_id),
        state: container.state,
        health: container.health,
        restart_count: container.restart_count,
        networks: container.networks.len() as u64,
        published_ports: container.ports.iter().filter(|port| port.host_port.is_some()).count() as u64,
        mounts: container.mounts.len() as u64,
        compose_project: label(graph::COMPOSE_PROJECT),
        compose_service: label(COMPOSE_SERVICE),
    }
}

fn short_id(container: &InventoryContainer) -> &str {
    let end = container.id.char_indices().nth(SHORT_ID).map_or(container.id.len(), |(at, _)| at);
    &container.id[..end]
}
