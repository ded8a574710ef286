//! The map as a self-contained SVG: services in a column by compose project, networks beside them.
//!
//! Arrows of dependencies run in the left margin, lines to networks in the gap on the right, so that nothing crosses a text. The
//! same inventory always gives the same picture; it has no ground of its own and reads on white and on black.

use std::{collections::BTreeMap, fmt::Write as _};

use cyberbrain_core::{
    outcome::{EdgeKind, clean_text},
    staging::{ContainerState, Health, Inventory, InventoryContainer},
};

use super::graph::{COMPOSE_PROJECT, Graph};

/// Services that are drawn.
const MAX_DRAWN: usize = 120;
/// Arrows, and lines to networks, that are drawn.
const MAX_EDGES: usize = 600;

const WIDTH: f64 = 960.0;
const CARD_LEFT: f64 = 150.0;
const CARD_WIDTH: f64 = 440.0;
const CARD_HEIGHT: f64 = 42.0;
const CARD_STEP: f64 = 52.0;
const NETWORK_LEFT: f64 = 720.0;
const NETWORK_WIDTH: f64 = 224.0;
const NETWORK_HEIGHT: f64 = 26.0;
const NETWORK_STEP: f64 = 36.0;
const HEAD: f64 = 64.0;
const PROJECT_HEAD: f64 = 26.0;

/// Columns of a text; the font is monospaced, and what is not ASCII may be twice as wide.
const NAME_COLUMNS: usize = 36;
const SIDE_COLUMNS: usize = 24;
const NETWORK_COLUMNS: usize = 30;

const INK: &str = "#767676";
const NAMES: &str = "#4c78a8";
const LINKS: &str = "#e08214";
const PORTS: &str = "#9467bd";
const NETWORK: &str = "#3f9b8a";
const BAD: &str = "#d62728";

/// Draws the first services by name.
pub fn draw(inventory: &Inventory, graph: &Graph) -> String {
    let drawn = &inventory.containers[..inventory.containers.len().min(MAX_DRAWN)];
    let mut body = String::new();
    let (middles, end_of_cards) = cards(&mut body, drawn);
    let networks: Vec<(&str, Vec<f64>)> = graph
        .networks
        .iter()
        .map(|network| {
            (
                network.name.as_str(),
                network.members.iter().filter_map(|at| middles.get(at).copied()).collect(),
            )
        })
        .filter(|(_, members): &(&str, Vec<f64>)| !members.is_empty())
        .collect();
    let end_of_networks = network_column(&mut body, &networks);
    arrows(&mut body, graph, &middles);
    let mut end = end_of_cards.max(end_of_networks) + 12.0;
    let left_out = inventory.containers.len() - drawn.len();
    if left_out > 0 {
        text(&mut body, CARD_LEFT, end + 8.0, &format!("{left_out} more services are not drawn"), "");
        end += 20.0;
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {end:.0}\" width=\"{WIDTH}\" height=\"{end:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\" font-size=\"11\" role=\"img\">\n\
         <title>Services of {} at {}</title>\n",
        escape(&clean_text(&inventory.host)),
        inventory.taken_at.format("%Y-%m-%d %H:%M:%S UTC"),
    );
    legend(&mut out);
    out.push_str(&body);
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    let items = [
        (NAMES, "names it"),
        (LINKS, "is linked to it"),
        (PORTS, "uses its published port"),
        (NETWORK, "is on the network"),
    ];
    for (at, (colour, told)) in items.into_iter().enumerate() {
        let x = CARD_LEFT + 200.0 * at as f64;
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" x2=\"{}\" y1=\"20\" y2=\"20\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            x + 18.0
        );
        text(out, x + 24.0, 24.0, told, "");
    }
}

/// Draws the cards; says where the middle of each is, and where the column ends.
fn cards(out: &mut String, drawn: &[InventoryContainer]) -> (BTreeMap<usize, f64>, f64) {
    let mut projects: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (at, container) in drawn.iter().enumerate() {
        projects.entry(container.labels.get(COMPOSE_PROJECT).map(String::as_str)).or_default().push(at);
    }
    let alone = projects.len() == 1 && projects.contains_key(&None);
    let mut middles = BTreeMap::new();
    let mut y = HEAD;
    for (project, members) in projects {
        if !alone {
            let name =
                project.map_or_else(|| "no compose project".to_owned(), |name| format!("compose: {name}"));
            text(out, CARD_LEFT, y, &cut(&name, NAME_COLUMNS), " font-style=\"italic\"");
            y += PROJECT_HEAD - 16.0;
        }
        for at in members {
            card(out, &drawn[at], y);
            middles.insert(at, y + CARD_HEIGHT / 2.0);
            y += CARD_STEP;
        }
        y += PROJECT_HEAD - 8.0;
    }
    (middles, y - PROJECT_HEAD)
}

fn card(out: &mut String, container: &InventoryContainer, y: f64) {
    let (stroke, more) = match (container.state, container.health) {
        (ContainerState::Running, Health::Unhealthy) => (BAD, " stroke-width=\"2\""),
        (ContainerState::Running, Health::None | Health::Starting | Health::Healthy) => (INK, ""),
        (ContainerState::Restarting | ContainerState::Dead, _) => (BAD, " stroke-dasharray=\"4 3\""),
        (
            ContainerState::Created
            | ContainerState::Paused
            | ContainerState::Removing
            | ContainerState::Exited,
            _,
        ) => (INK, " stroke-dasharray=\"4 3\""),
    };
    let _ = writeln!(
        out,
        "<rect x=\"{CARD_LEFT}\" y=\"{y}\" width=\"{CARD_WIDTH}\" height=\"{CARD_HEIGHT}\" rx=\"6\" \
         fill=\"#888888\" fill-opacity=\"0.08\" stroke=\"{stroke}\"{more}/>"
    );
    let (left, right) = (CARD_LEFT + 10.0, CARD_LEFT + CARD_WIDTH - 10.0);
    let state = match container.health {
        Health::None => container.state.to_string(),
        Health::Starting | Health::Healthy | Health::Unhealthy => {
            format!("{}, {}", container.state, container.health)
        }
    };
    let mut ports: Vec<u16> = container.ports.iter().filter_map(|port| port.host_port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(|port| format!(":{port}")).collect();
    text(out, left, y + 17.0, &cut(&container.name, NAME_COLUMNS), " font-weight=\"700\"");
    text(out, right, y + 17.0, &cut(&state, SIDE_COLUMNS), " text-anchor=\"end\"");
    text(out, left, y + 33.0, &cut(&container.image, NAME_COLUMNS), "");
    if !ports.is_empty() {
        text(out, right, y + 33.0, &cut(&ports.join(" "), SIDE_COLUMNS), " text-anchor=\"end\"");
    }
}

/// Draws each network beside the middle of its members, or below the one before, and its lines. Says where the column ends.
fn network_column(out: &mut String, networks: &[(&str, Vec<f64>)]) -> f64 {
    let mean = |members: &[f64]| members.iter().sum::<f64>() / members.len() as f64;
    let mut order: Vec<&(&str, Vec<f64>)> = networks.iter().collect();
    order.sort_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)).then_with(|| a.0.cmp(b.0)));
    let mut next = HEAD;
    let mut lines = 0;
    for (name, members) in order {
        let y = (mean(members) - NETWORK_HEIGHT / 2.0).max(next);
        next = y + NETWORK_STEP;
        let _ = writeln!(
            out,
            "<rect x=\"{NETWORK_LEFT}\" y=\"{y:.1}\" width=\"{NETWORK_WIDTH}\" height=\"{NETWORK_HEIGHT}\" rx=\"13\" \
             fill=\"{NETWORK}\" fill-opacity=\"0.12\" stroke=\"{NETWORK}\"/>"
        );
        text(out, NETWORK_LEFT + 12.0, y + 17.0, &cut(name, NETWORK_COLUMNS), "");
        for from in members.iter().take(MAX_EDGES - lines) {
            let (x, to) = (CARD_LEFT + CARD_WIDTH, y + NETWORK_HEIGHT / 2.0);
            let bend = (x + NETWORK_LEFT) / 2.0;
            let _ = writeln!(
                out,
                "<path d=\"M{x} {from:.1}C{bend} {from:.1} {bend} {to:.1} {NETWORK_LEFT} {to:.1}\" fill=\"none\" \
                 stroke=\"{NETWORK}\" stroke-opacity=\"0.8\"/>"
            );
        }
        lines = (lines + members.len()).min(MAX_EDGES);
    }
    next
}

/// Draws who depends on whom, in the left margin: out of the lower half of a card, into the upper half of another.
fn arrows(out: &mut String, graph: &Graph, middles: &BTreeMap<usize, f64>) {
    for edge in graph.dependencies().take(MAX_EDGES) {
        let (Some(from), Some(to)) = (middles.get(&edge.from), middles.get(&edge.to)) else { continue };
        // Kinds leave and arrive beside each other.
        let (colour, shift) = match edge.kind {
            EdgeKind::Reference | EdgeKind::Network => (NAMES, 0.0),
            EdgeKind::Link => (LINKS, 4.0),
            EdgeKind::Port => (PORTS, 8.0),
        };
        let (start, end) = (from + 4.0 + shift, to - 4.0 - shift);
        let bulge = CARD_LEFT - (24.0 + (end - start).abs() * 0.25 + shift * 2.0).min(CARD_LEFT * 1.25);
        let told = match edge.port {
            Some(port) => format!("<title>port {port}</title>"),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "<path d=\"M{CARD_LEFT} {start:.1}C{bulge:.1} {start:.1} {bulge:.1} {end:.1} {tip} {end:.1}\" fill=\"none\" \
             stroke=\"{colour}\" stroke-width=\"1.5\">{told}</path>\
             <path d=\"M{CARD_LEFT} {end:.1}l-7 -3.5v7z\" fill=\"{colour}\"/>",
            tip = CARD_LEFT - 6.0,
        );
    }
}

fn text(out: &mut String, x: f64, y: f64, told: &str, style: &str) {
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" fill=\"{INK}\"{style}>{}</text>", escape(told));
}

/// What fits into so many columns.
fn cut(told: &str, columns: usize) -> String {
    let clean = clean_text(told);
    let width = |character: char| if character.is_ascii() { 1 } else { 2 };
    if clean.chars().map(width).sum::<usize>() <= columns {
        return clean;
    }
    let mut left = columns - 2;
    let mut out: String = clean
        .chars()
        .take_while(|character| {
            let fits = width(*character) <= left;
            left = left.saturating_sub(width(*character));
            fits
        })
        .collect();
    out.push('…');
    out
}

fn escape(told: &str) -> String {
    told.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
