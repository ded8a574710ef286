//! The map as a Mermaid flowchart: services in their compose projects, networks as nodes of their own.

use std::{collections::BTreeMap, fmt::Write as _};

use cyberbrain_core::{
    outcome::EdgeKind,
    staging::{ContainerState, Health, InventoryContainer},
};

use super::graph::{COMPOSE_PROJECT, Dependency, Graph};

/// Services that are drawn; a larger map can't be read, and Mermaid refuses it.
pub const MAX_DRAWN: usize = 120;
/// Edges that are drawn; Mermaid stops at 500.
const MAX_EDGES: usize = 400;
/// Characters of a label.
const MAX_LABEL: usize = 48;

/// Draws the first [`MAX_DRAWN`] services.
pub fn draw(containers: &[InventoryContainer], graph: &Graph) -> String {
    let drawn = &containers[..containers.len().min(MAX_DRAWN)];
    let mut out = String::from("flowchart LR\n");
    let mut projects: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (at, container) in drawn.iter().enumerate() {
        projects.entry(container.labels.get(COMPOSE_PROJECT).map(String::as_str)).or_default().push(at);
    }
    for (number, (project, members)) in projects.into_iter().enumerate() {
        let indent = match project {
            Some(project) => {
                let _ = writeln!(out, "  subgraph p{number}[\"{}\"]", label(project));
                "    "
            }
            None => "  ",
        };
        for at in members {
            let container = &drawn[at];
            let _ = writeln!(
                out,
                // The line break is one: around markup Mermaid would take entities for what they stand for.
                "{indent}s{at}[\"{}\n{}\"]{}",
                label(&container.name),
                label(&container.image),
                class(container)
            );
        }
        if project.is_some() {
            out.push_str("  end\n");
        }
    }
    let mut edges = 0;
    let mut edge = |line: String, out: &mut String| {
        edges += 1;
        if edges <= MAX_EDGES {
            out.push_str(&line);
        }
    };
    for Dependency { from, to, kind, port } in graph.dependencies() {
        if from < drawn.len() && to < drawn.len() {
            edge(format!("  s{from} -->|{}| s{to}\n", word(kind, port)), &mut out);
        }
    }
    for (number, network) in graph.networks.iter().enumerate() {
        let members: Vec<usize> = network.members.iter().copied().filter(|&at| at < drawn.len()).collect();
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(out, "  n{number}([\"{}\"]):::network", label(&network.name));
        for at in members {
            edge(format!("  s{at} --- n{number}\n"), &mut out);
        }
    }
    out.push_str("  classDef network fill:#eef3fb,stroke:#4c78a8,color:#1b1f27\n");
    out.push_str("  classDef down stroke-dasharray:4 3,color:#777\n");
    out.push_str("  classDef unhealthy stroke:#c0392b,stroke-width:2px\n");
    out
}

/// What is written on an arrow.
fn word(kind: EdgeKind, port: Option<u16>) -> String {
    match kind {
        EdgeKind::Reference => "names".to_owned(),
        EdgeKind::Link => "links".to_owned(),
        EdgeKind::Port => format!("port {}", port.unwrap_or_default()),
        EdgeKind::Network => "network".to_owned(),
    }
}

const fn class(container: &InventoryContainer) -> &'static str {
    match (container.state, container.health) {
        (ContainerState::Running, Health::Unhealthy) => ":::unhealthy",
        (ContainerState::Running, Health::None | Health::Starting | Health::Healthy) => "",
        (
            ContainerState::Created
            | ContainerState::Paused
            | ContainerState::Restarting
            | ContainerState::Removing
            | ContainerState::Exited
            | ContainerState::Dead,
            _,
        ) => ":::down",
    }
}

/// What stands for a name that is none.
const NAMELESS: &str = "–";

/// A text inside a quoted label, where Mermaid reads Markdown too: everything that could end it, or is markup of either, as an
/// entity. Never empty.
fn label(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect();
    let shown = if shown.trim().is_empty() { NAMELESS } else { shown.trim() };
    let characters: Vec<char> = shown.chars().collect();
    let mut out = String::new();
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at)).copied().unwrap_or(' ');
        let after = characters.get(at + 1).copied().unwrap_or(' ');
        let plain = character.is_alphanumeric()
            || character == ' '
            || (before.is_alphanumeric()
                && match character {
                    '-' | '/' | '_' => after.is_alphanumeric(),
                    '.' => after.is_alphanumeric() && !is_web_address(&out),
                    // Tags and ports; before a letter it could be an icon.
                    ':' => after.is_ascii_digit(),
                    _ => false,
                });
        if plain {
            out.push(character);
        } else {
            let _ = write!(out, "#{};", u32::from(character));
        }
    }
    out
}

/// Whether a dot after this makes a link of it.
fn is_web_address(text: &str) -> bool {
    text.get(text.len().saturating_sub(3)..).is_some_and(|end| end.eq_ignore_ascii_case("www"))
}
