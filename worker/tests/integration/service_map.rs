//! Services and edges from a known inventory.

use std::collections::BTreeSet;

use cyberbrain_core::{
    outcome::{EdgeKind, JobResult, ServiceMap},
    staging::{INVENTORY_FILE, Inventory},
};
use cyberbrain_worker::Job;
use serde_json::{Value, json};

use crate::staged::{Left, Worker};

fn container(name: &str, networks: &[&str], more: &Value) -> Value {
    let mut container = json!({
        "id": format!("{name:0>64}"), "name": name, "image": format!("{name}:1"), "image_id": "sha256:0",
        "state": "running", "health": "none", "created_at": "2026-10-01T00:00:00Z", "restart_count": 0,
        "networks": networks.iter().map(|name| json!({"name": name, "ip": null})).collect::<Vec<_>>(),
        "ports": [], "mounts": [], "labels": {}, "references": [],
    });
    for (key, value) in more.as_object().unwrap() {
        container[key] = value.clone();
    }
    container
}

fn compose(project: &str, service: &str) -> Value {
    json!({"com.docker.compose.project": project, "com.docker.compose.service": service})
}

fn run(containers: &[Value]) -> (Worker, Left, ServiceMap) {
    let worker = Worker::of("service_map");
    let inventory = json!({"taken_at": "2026-11-01T10:00:00Z", "host": "alpha", "containers": containers});
    let typed: Inventory = serde_json::from_value(inventory).unwrap();
    worker.stage(INVENTORY_FILE, &typed);
    let left = worker.run(Job::ServiceMap).unwrap();
    let JobResult::ServiceMap(map) = left.result.clone() else { panic!("{:?}", left.result) };
    (worker, left, map)
}

/// Edges by name: `web -> db` for a reference, `db -- web on back` for a network.
fn edges(map: &ServiceMap) -> BTreeSet<String> {
    let name = |at: u32| map.services[at as usize].name.as_str();
    map.edges
        .iter()
        .map(|edge| match (edge.kind, &edge.network) {
            (EdgeKind::Reference, None) => format!("{} -> {}", name(edge.from), name(edge.to)),
            (EdgeKind::Network, Some(network)) => {
                format!("{} -- {} on {network}", name(edge.from), name(edge.to))
            }
            (EdgeKind::Reference, Some(_)) | (EdgeKind::Network, None) => panic!("{edge:?}"),
        })
        .collect()
}

fn shop() -> Vec<Value> {
    vec![
        container(
            "shop-web-1",
            &["front", "back"],
            &json!({
                "labels": compose("shop", "web"), "references": ["db", "mailer", "shop-web-1"],
                "health": "healthy",
                "ports": [{"container_port": 80, "protocol": "tcp", "host_ip": "0.0.0.0", "host_port": 8080}],
                "mounts": [{"kind": "bind", "source": "/srv/www", "destination": "/www", "access": "read_only"}],
            }),
        ),
        container(
            "shop-db-1",
            &["back"],
            &json!({
                "labels": compose("shop", "db"), "health": "unhealthy", "restart_count": 4,
                "ports": [{"container_port": 5432, "protocol": "tcp", "host_ip": null, "host_port": null}],
                "mounts": [{"kind": "volume", "source": "pg", "destination": "/var/lib/postgresql", "access": "read_write"}],
            }),
        ),
        container("blog-db-1", &["blog"], &json!({"labels": compose("blog", "db"), "state": "exited"})),
        container(
            "proxy",
            &["front", "bridge"],
            &json!({"labels": {"com.docker.compose.depends_on": "web:service_started:false,shop-web-1:service_healthy:true"}}),
        ),
        container("tool", &["bridge", "none"], &json!({"references": ["db"]})),
    ]
}

#[test]
fn services_and_edges_of_a_known_inventory() {
    let (worker, left, map) = run(&shop());
    let expected = [
        "shop-web-1 -> shop-db-1", // the service `db` of its own project
        "proxy -> shop-web-1",     // by service name, the only one; and by container name, told once
        "shop-db-1 -- shop-web-1 on back",
        "proxy -- shop-web-1 on front",
    ];
    assert_eq!(edges(&map), expected.map(str::to_owned).into());
    assert_eq!((map.networks, map.edges_left_out, map.services_left_out), (3, 0, 0));

    let web = map.services.iter().find(|service| service.name == "shop-web-1").unwrap();
    assert_eq!((web.compose_project.as_deref(), web.compose_service.as_deref()), (Some("shop"), Some("web")));
    assert_eq!((web.id.len(), web.networks, web.published_ports, web.mounts), (12, 2, 1, 1));
    let db = map.services.iter().find(|service| service.name == "shop-db-1").unwrap();
    assert_eq!((db.published_ports, db.restart_count), (0, 4), "an exposed port is not a published one");

    if let Ok(folder) = std::env::var("CYBERBRAIN_KEEP_REPORTS") {
        std::fs::write(format!("{folder}/services.md"), &left.report).unwrap();
    }
    for told in [
        "**5 containers** on alpha, 4 running",
        "`shop-db-1` fails its health check.",
        "`shop-db-1` was restarted 4 times.",
        "`shop-web-1` names `mailer`; no container",
        "`tool` names `db`; no container", // two services are called so
        "0.0.0.0:8080 → 80/tcp",
        "1 (1 writable)",
        "```mermaid\nflowchart LR\n",
        "subgraph p2[\"shop\"]",
        "-->|names|",
        "([\"front\"]):::network",
    ] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
    let graph: Value = serde_json::from_str(&worker.artifact("graph.json")).unwrap();
    assert_eq!(graph["references"].as_array().unwrap().len(), 2);
    assert_eq!(graph["networks"][0], json!({"name": "back", "services": ["shop-db-1", "shop-web-1"]}));
}

#[test]
fn an_empty_host_is_told_so() {
    let (_, left, map) = run(&[]);
    assert_eq!((map.services.len(), map.edges.len()), (0, 0));
    assert!(left.report.contains("There is no container"), "{}", left.report);
}

#[test]
fn a_large_host_stays_within_the_limits() {
    let containers: Vec<Value> =
        (0..600).map(|n| container(&format!("{n:03}-{}", "😀".repeat(150)), &["all"], &json!({}))).collect();
    let (_, left, map) = run(&containers);
    assert!(map.services.len() < 250, "the names are too long for the usual number of services");
    assert_eq!(map.services.len() as u64 + map.services_left_out, 600);
    assert_eq!(map.edges.len() as u64 + map.edges_left_out, 600 * 599 / 2);
    assert!(left.report.matches(" --- n0").count() <= 400);
}

#[test]
fn names_can_not_leave_the_drawing() {
    let name = "a\"]; click s0 \"javascript:x\"\n```\n<b>|x`y";
    let (_, left, _) = run(&[container(name, &["n\"e`t"], &json!({"image": "<script>alert(1)</script>"}))]);
    let drawing = left.report.split("```mermaid").nth(1).unwrap().split("```").next().unwrap();
    assert!(drawing.contains("s0[\"a#34;#93;#59; click s0 #34;javascript:x#34;"), "{drawing}");
    assert!(!drawing.contains("<script>") && drawing.contains("classDef unhealthy"), "{drawing}");
}
