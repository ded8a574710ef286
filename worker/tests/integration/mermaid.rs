//! The drawing of a service map keeps to the part of Mermaid's grammar that it uses, whatever things are called.
//!
//! The grammar is the strict one below; drawings that keep to it, those of this test among them, were parsed and rendered by
//! Mermaid 11.6. `CYBERBRAIN_KEEP_REPORTS=<folder>` writes them there, to look again with another version.

use std::collections::BTreeSet;

use cyberbrain_core::staging::{INVENTORY_FILE, Inventory};
use cyberbrain_worker::Job;
use serde_json::{Value, json};

use crate::staged::Worker;

/// Words of Mermaid and of Markdown, and what could end a label.
const NASTY: &[&str] = &[
    "end",
    "graph",
    "subgraph",
    "class",
    "style",
    "default",
    "click",
    "call()",
    "href",
    "direction",
    "o--o",
    "x---x",
    "a-->b",
    "1. one",
    "- one",
    "+ one",
    "*b*",
    "__b__",
    "**b**",
    "~~b~~",
    "`c`",
    "```",
    "# h",
    "> q",
    "[l](x)",
    "$$x$$",
    "\\",
    "\"",
    "]",
    "([",
    "])",
    "{{",
    "|",
    ";",
    "#35;",
    "&lt;",
    "<br/>",
    "<script>",
    "%%{init: {}}%%",
    "---",
    ":::",
    "@{ shape: x }",
    "日本語",
    "😀",
    "é",
    "a\nb",
    "\u{202e}x",
    "",
    " ",
    "a__b",
    "a-_b_-c",
    "snake_case",
    "fa:fa-car",
    "web:1",
    "a@b.example",
    "http://example.org",
    "www.example.org",
];

fn drawing(names: &[&str]) -> String {
    let container = |(at, name): (usize, &&str)| {
        let other = names[(at + 1) % names.len()];
        json!({
            "id": format!("{at:064}"), "name": name, "image": other, "image_id": "sha256:0",
            "state": if at % 3 == 0 { "exited" } else { "running" },
            "health": if at % 3 == 1 { "unhealthy" } else { "none" },
            "created_at": "2026-10-01T00:00:00Z", "restart_count": 0,
            "networks": [{ "name": name, "ip": null }, { "name": "all", "ip": null }],
            "ports": [], "mounts": [], "references": [other],
            "labels": if at % 2 == 0 { json!({ "com.docker.compose.project": other }) } else { json!({}) },
        })
    };
    let containers: Vec<Value> = names.iter().enumerate().map(container).collect();
    let inventory = json!({
        "taken_at": "2026-11-01T10:00:00Z", "host": "alpha", "scope": "all", "not_shown": 0, "containers": containers,
    });
    let worker = Worker::of("service_map");
    worker.stage(INVENTORY_FILE, &serde_json::from_value::<Inventory>(inventory).unwrap());
    let report = worker.run(Job::ServiceMap).unwrap().report;
    let (_, rest) = report.split_once("```mermaid\n").unwrap();
    rest.split_once("```\n").unwrap().0.to_owned()
}

/// A label is letters, digits and spaces, a few signs within words, and else numbered entities; nothing of it is Markdown.
fn is_label(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let is_word =
        |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let within = is_word(at.checked_sub(1)) && is_word(Some(at + 1));
        let length = match character {
            '#' => {
                let digits = characters[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
                if digits == 0 || characters.get(at + 1 + digits) != Some(&';') {
                    return false;
                }
                digits + 2
            }
            '-' | '.' | '/' | '_' if within => 1,
            ':' if within && characters[at + 1].is_ascii_digit() => 1,
            ' ' => 1,
            other if other.is_alphanumeric() => 1,
            _ => return false,
        };
        at += length;
    }
    !text.is_empty() && text.trim() == text && !text.to_lowercase().contains("www.")
}

fn is_id(text: &str, kind: char) -> bool {
    text.strip_prefix(kind)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Panics unless each line is one of the few forms, ids are defined once and before an edge names them, and groups are closed.
fn hold(drawing: &str) {
    let mut lines = drawing.lines();
    assert_eq!(lines.next(), Some("flowchart LR"));
    let (mut ids, mut open, mut classes) = (BTreeSet::new(), false, 0);
    let mut define = |id: &str| assert!(ids.insert(id.to_owned()), "{id} is there twice");
    let mut edges = Vec::new();
    while let Some(line) = lines.next() {
        let told = line.trim_start();
        let known = if let Some(group) = told.strip_prefix("subgraph ") {
            let (id, label) = group.strip_suffix("\"]").unwrap().split_once("[\"").unwrap();
            assert!(!std::mem::replace(&mut open, true), "a group within a group");
            define(id);
            is_id(id, 'p') && is_label(label)
        } else if told == "end" {
            std::mem::replace(&mut open, false)
        } else if let Some(class) = told.strip_prefix("classDef ") {
            classes += 1;
            class.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" #:,-".contains(&byte))
        } else if let Some((from, to)) = told.split_once(" --- ") {
            edges.push((from, to));
            is_id(from, 's') && is_id(to, 'n')
        } else if let Some((from, rest)) = told.split_once(" -->|") {
            let (word, to) = rest.split_once("| ").unwrap();
            edges.push((from, to));
            let port = word.strip_prefix("port ").is_some_and(|port| port.parse::<u16>().is_ok());
            is_id(from, 's') && is_id(to, 's') && (port || ["names", "links", "network"].contains(&word))
        } else if let Some((id, rest)) = told.split_once("([\"") {
            define(id);
            is_id(id, 'n') && rest.strip_suffix("\"]):::network").is_some_and(is_label)
        } else if let Some((id, rest)) = told.split_once("[\"") {
            define(id);
            // A break within the label.
            let (image, class) = lines.next().unwrap().split_once("\"]").unwrap();
            is_id(id, 's')
                && ["", ":::down", ":::unhealthy"].contains(&class)
                && is_label(rest)
                && is_label(image)
        } else {
            false
        };
        assert!(known, "{line:?} in\n{drawing}");
    }
    assert!(!open && classes == 3, "{drawing}");
    for (from, to) in edges {
        assert!(ids.contains(from) && ids.contains(to), "{from} to {to}");
    }
}

#[test]
fn a_drawing_is_a_flowchart_whatever_things_are_called() {
    let mut drawings: Vec<String> = NASTY.iter().map(|name| drawing(&[name, "plain"])).collect();
    drawings.push(drawing(NASTY));
    drawings.push(drawing(&["x"; 300]));
    for (at, drawing) in drawings.iter().enumerate() {
        hold(drawing);
        if let Some(folder) = std::env::var_os("CYBERBRAIN_KEEP_REPORTS") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{at}.mmd")), drawing).unwrap();
        }
    }
}
