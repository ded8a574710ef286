//! The report: the map, what needs attention, and the tables behind it.

use std::fmt::Write as _;

use cyberbrain_core::{
    outcome::ChangeKind,
    staging::{
        COMPOSE_SERVICE, ContainerState, Health, Inventory, InventoryContainer, MapScope, MountAccess,
        PublishedPort,
    },
};

use super::{
    DRAWING_FILE, GRAPH_FILE,
    changes::Comparison,
    graph::{COMPOSE_PROJECT, Graph},
    mermaid,
};
use crate::markdown::{code, counted, left, number, plain, right, table, time};

/// Services that are listed.
const SERVICES: usize = 300;
/// Networks that are listed.
const NETWORKS: usize = 100;
/// Changes that are listed.
const CHANGES: usize = 100;
/// Remarks that are listed.
const REMARKS: usize = 60;
/// Restarts from which on they are remarked upon.
const MANY_RESTARTS: u32 = 3;
/// Ports or networks named in one cell.
const PER_CELL: usize = 6;

/// Writes the report.
pub fn write(inventory: &Inventory, graph: &Graph, comparison: &Comparison<'_>) -> String {
    let containers = &inventory.containers;
    let mut out = String::from("# Service map\n\n");
    if containers.is_empty() {
        let _ = writeln!(
            out,
            "**There is no container{}** on {} at {}.\n",
            match inventory.scope {
                MapScope::All => "",
                MapScope::Allowlist => " of the allowlist",
            },
            plain(&inventory.host),
            time(inventory.taken_at)
        );
        out.push_str(&not_shown(inventory));
        out.push_str(&changes(comparison));
        return out;
    }
    let running =
        containers.iter().filter(|container| container.state == ContainerState::Running).count() as u64;
    let _ = writeln!(
        out,
        "**{}** on {}, {} running, at {}: {}, {} between services.\n",
        counted(containers.len() as u64, "container", "containers"),
        plain(&inventory.host),
        number(running),
        time(inventory.taken_at),
        counted(graph.networks.len() as u64, "user-defined network", "user-defined networks"),
        counted(graph.dependencies().count() as u64, "dependency", "dependencies"),
    );
    out.push_str(&not_shown(inventory));
    out.push_str(&attention(containers, graph));
    out.push_str(&changes(comparison));
    let _ = writeln!(
        out,
        "## Map\n\n![The services and what ties them together]({DRAWING_FILE})\n\n\
         The picture as a file: [{DRAWING_FILE}]({DRAWING_FILE}); the graph for tools: [{GRAPH_FILE}]({GRAPH_FILE}).\n"
    );
    let _ = writeln!(out, "```mermaid\n{}```\n", mermaid::draw(containers, graph));
    if containers.len() > mermaid::MAX_DRAWN {
        let _ = writeln!(
            out,
            "Only the first {} services are drawn; all are in `{GRAPH_FILE}`.\n",
            mermaid::MAX_DRAWN
        );
    }
    out.push_str("An arrow *names* means that the first service's environment, command or compose file names the second one, *links* that it was linked to it, *port* that it addresses a port of this host that the second one publishes. A line means that a service is on a network.\n\n");
    out.push_str(&services(containers));
    out.push_str(&networks(containers, graph));
    out
}

/// What the scope leaves out.
fn not_shown(inventory: &Inventory) -> String {
    match inventory.not_shown {
        0 => String::new(),
        others => format!(
            "{} not on the allowlist and not shown; launch with the parameter `scope` = `all` to see everything.\n\n",
            counted(others, "container of this host is", "containers of this host are")
        ),
    }
}

fn changes(comparison: &Comparison<'_>) -> String {
    let (previous, changes, partial) = match comparison {
        Comparison::Nothing => {
            return "## Changes\n\nThere is no earlier map of this host to compare with.\n\n".to_owned();
        }
        Comparison::OtherScope(previous) => {
            return format!(
                "## Changes\n\nNot compared: the last map, of {}, was made with another scope.\n\n",
                time(previous.finished_at)
            );
        }
        Comparison::With { previous, changes, partial } => (previous, changes, *partial),
    };
    let mut out = format!(
        "## Changes\n\nSince {} (Run {}): ",
        time(previous.finished_at),
        code(&previous.run_id.to_string())
    );
    if changes.is_empty() {
        out.push_str("none.\n\n");
    } else {
        let of = |kind| changes.iter().filter(|change| change.kind == kind).count() as u64;
        let counts: Vec<String> = ChangeKind::ALL
            .iter()
            .filter(|kind| of(**kind) > 0)
            .map(|kind| format!("{} {}", number(of(*kind)), word(*kind)))
            .collect();
        let _ = writeln!(out, "{}.\n", counts.join(", "));
        let rows: Vec<Vec<String>> = changes
            .iter()
            .take(CHANGES)
            .map(|change| {
                let what = match change.restarts {
                    0 => word(change.kind).to_owned(),
                    times => format!("restarted {}", counted(times.into(), "time", "times")),
                };
                vec![code(&change.name), what]
            })
            .collect();
        let _ = writeln!(out, "{}", table(&[left("Service"), left("Change")], &rows));
        if changes.len() > CHANGES {
            let _ =
                writeln!(out, "{} more are in `{GRAPH_FILE}`.\n", number((changes.len() - CHANGES) as u64));
        }
    }
    if partial {
        out.push_str(
            "The earlier result could not list all its services; of the others nothing is said.\n\n",
        );
    }
    out
}

const fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::New => "new",
        ChangeKind::Gone => "gone",
        ChangeKind::Image => "on another image",
        ChangeKind::Recreated => "recreated",
        ChangeKind::Restarted => "restarted",
    }
}

fn attention(containers: &[InventoryContainer], graph: &Graph) -> String {
    let mut remarks = Vec::new();
    for container in containers {
        let name = code(&container.name);
        match container.state {
            ContainerState::Restarting | ContainerState::Dead | ContainerState::Removing => {
                remarks.push(format!("{name} is {}.", container.state));
            }
            ContainerState::Created
            | ContainerState::Running
            | ContainerState::Paused
            | ContainerState::Exited => {}
        }
        if container.health == Health::Unhealthy {
            remarks.push(format!("{name} fails its health check."));
        }
        if container.restart_count >= MANY_RESTARTS {
            remarks.push(format!(
                "{name} was restarted {}.",
                counted(container.restart_count.into(), "time", "times")
            ));
        }
    }
    for (from, name) in &graph.unresolved {
        remarks.push(format!(
            "{} names {}; no container here is called so, or more than one.",
            code(&containers[*from].name),
            code(name)
        ));
    }
    if remarks.is_empty() {
        return "Nothing needs attention: no service is unhealthy, restarting, or names one that is not there.\n\n".to_owned();
    }
    let mut out = String::from("## Attention\n\n");
    for remark in remarks.iter().take(REMARKS) {
        let _ = writeln!(out, "- {remark}");
    }
    if remarks.len() > REMARKS {
        let _ = writeln!(out, "- and {} more.", number((remarks.len() - REMARKS) as u64));
    }
    out.push('\n');
    out
}

fn services(containers: &[InventoryContainer]) -> String {
    let rows: Vec<Vec<String>> = containers.iter().take(SERVICES).map(service).collect();
    let columns = [
        left("Service"),
        left("Image"),
        left("State"),
        left("Health"),
        right("Restarts"),
        left("Networks"),
        left("Ports"),
        right("Mounts"),
        left("Compose"),
    ];
    let mut out = format!("## Services\n\n{}", table(&columns, &rows));
    if containers.len() > SERVICES {
        let _ =
            writeln!(out, "\n{} more are in `{GRAPH_FILE}`.", number((containers.len() - SERVICES) as u64));
    }
    out.push('\n');
    out
}

fn service(container: &InventoryContainer) -> Vec<String> {
    let networks = container.networks.iter().map(|network| match network.ip {
        Some(ip) => format!("{} {ip}", plain(&network.name)),
        None => plain(&network.name),
    });
    let writable =
        container.mounts.iter().filter(|mount| mount.access == MountAccess::ReadWrite).count() as u64;
    let mounts = container.mounts.len() as u64;
    let label = |name: &str| container.labels.get(name).map(|value| plain(value));
    let compose = [label(COMPOSE_PROJECT), label(COMPOSE_SERVICE)].into_iter().flatten().collect::<Vec<_>>();
    vec![
        code(&container.name),
        code(&container.image),
        container.state.to_string(),
        match container.health {
            Health::None => "–".to_owned(),
            Health::Starting | Health::Healthy | Health::Unhealthy => container.health.to_string(),
        },
        number(container.restart_count.into()),
        some(networks),
        some(container.ports.iter().map(port)),
        if writable == 0 {
            number(mounts)
        } else {
            format!("{} ({} writable)", number(mounts), number(writable))
        },
        if compose.is_empty() { "–".to_owned() } else { compose.join(" / ") },
    ]
}

/// `127.0.0.1:8080 → 80/tcp`, or `80/tcp` if it is not published.
fn port(port: &PublishedPort) -> String {
    let inner = format!("{}/{}", port.container_port, port.protocol);
    match (port.host_ip, port.host_port) {
        (Some(ip), Some(outer)) => format!("{} → {inner}", std::net::SocketAddr::new(ip, outer)),
        (None, Some(outer)) => format!("{outer} → {inner}"),
        (_, None) => inner,
    }
}

/// The first few, and how many more there are.
fn some(parts: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = parts.collect();
    match all.len() {
        0 => "–".to_owned(),
        few if few <= PER_CELL => all.join(", "),
        many => format!("{} and {} more", all[..PER_CELL].join(", "), many - PER_CELL),
    }
}

fn networks(containers: &[InventoryContainer], graph: &Graph) -> String {
    if graph.networks.is_empty() {
        return "## Networks\n\nNo container is on a user-defined network.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = graph
        .networks
        .iter()
        .take(NETWORKS)
        .map(|network| {
            vec![
                plain(&network.name),
                number(network.members.len() as u64),
                some(network.members.iter().map(|&at| code(&containers[at].name))),
            ]
        })
        .collect();
    let mut out =
        format!("## Networks\n\n{}", table(&[left("Network"), right("Services"), left("Which")], &rows));
    if graph.networks.len() > NETWORKS {
        let _ = writeln!(
            out,
            "\n{} more are in `{GRAPH_FILE}`.",
            number((graph.networks.len() - NETWORKS) as u64)
        );
    }
    out
}
